"""Features of many variants of a sound, computed once."""

import numpy as np
import torch

from talkface_core.acoustic.stream import acoustic_features
from talkface_core.acoustic.training_features import heard_features
from tests.acoustic.small_acoustic import small_acoustic


def test_variants_of_a_sound_are_gated_or_noisy():
    generator = torch.Generator().manual_seed(0)
    mels = [(torch.rand(2, 192, 80, generator=generator) * 4 - 4).half() for _ in range(3)]
    speech = [np.arange(60) > 20, np.ones(60, bool), None]
    heard = heard_features(small_acoustic(), mels, [60, 60, 58], speech, 4)
    assert [tuple(f.shape) for f in heard.clips] == [(4, 60, 16), (4, 60, 16), (4, 58, 16)]
    assert not torch.equal(heard.clips[0][0], heard.clips[0][1])
    clean = acoustic_features(small_acoustic(), mels[2][0].float())[:58]
    torch.testing.assert_close(heard.clips[2][0].float(), clean, atol=2e-3, rtol=2e-3)
    rng = np.random.default_rng(0)
    assert torch.equal(heard.of(0, np.array([3, 4]), rng, silent=True), heard.silence.expand(2, -1))
