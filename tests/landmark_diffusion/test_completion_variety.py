"""Clips at other tempos, and sounds without a face."""

import numpy as np
import torch

from talkface_core.acoustic.training_features import HeardFeatures
from talkface_core.datasets.labelled_sounds import SpeechClip
from talkface_core.landmark_diffusion.landmarks import IBUG_68
from talkface_core.landmark_diffusion.training.completion_batches import CompletionBatches, CompletionSampler
from talkface_core.landmark_diffusion.training.completion_variety import at_tempo, faceless
from tests.landmark_diffusion.small_completion import clip


def test_a_faster_clip_is_shorter_and_says_the_same() -> None:
    slow = clip()
    fast = at_tempo(slow, 1.25)
    assert fast.frames == int(slow.frames / 1.25)
    assert fast.mels.shape[1] == int(slow.mels.shape[1] / 1.25)
    opening = [IBUG_68.opening(one.points) for one in (slow, fast)]
    at = (torch.arange(fast.frames) + 0.5) * 1.25 - 0.5
    torch.testing.assert_close(opening[1], opening[0][at.round().long().clamp(max=slow.frames - 1)], atol=5e-3, rtol=0)
    assert fast.closures.max() < fast.frames


def test_sounds_without_a_face_are_heard_and_not_judged() -> None:
    spoken = SpeechClip("s", 40, torch.zeros(1, 128, 80).half(), visemes=torch.full((40,), 3))
    dumb = SpeechClip("t", 40, torch.zeros(1, 128, 80).half())
    clips = faceless([spoken, dumb], [clip()])
    assert [one.frames for one in clips] == [40]
    heard = HeardFeatures([torch.zeros(1, 40, 16)], torch.zeros(16))
    batch = CompletionSampler(clips, heard, CompletionBatches(windows=3, frames=20), IBUG_68).batch(
        np.random.default_rng(0)
    )
    assert batch["weight"].abs().max() == 0
    assert (batch["visemes"] == 3).any()
