"""What an ear hears, as training data: versions, silences, and who is refused."""

import numpy as np
import pytest
import torch

from talkface_core.acoustic.hearing import load_ear
from talkface_core.acoustic.model import load_acoustic
from talkface_core.acoustic.stream import quiet_features
from talkface_core.acoustic.training_by_ear import ear_of, hear_sounds, heard_by, with_ear
from talkface_core.acoustic.training_features import HeardFeatures
from talkface_core.checkpoints import CheckpointError
from talkface_core.datasets.labelled_sounds import SpeechClip
from talkface_core.errors import InputError
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import save_small_whisper

ACOUSTIC = small_acoustic()


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(16000 * seconds)).astype(np.float32) / 10


def test_sounds_are_heard_in_versions_and_silent_where_nobody_speaks(tmp_path) -> None:
    ear = load_ear(save_small_whisper(tmp_path / "whisper.safetensors", ACOUSTIC))
    waves, speech = [noise(2.4, 0), noise(1.0, 1)], [np.arange(60) >= 40, None]
    heard = hear_sounds(ear, ACOUSTIC, waves, [60, 27], speech, versions=2)
    assert [tuple(one.shape) for one in heard] == [(2, 60, 16), (2, 27, 16)]
    assert all(one.dtype == torch.float16 for one in heard)
    assert not torch.equal(heard[1][0], heard[1][1]), "the second has noises or a room"
    alone = torch.cat(list(ear.stream([torch.from_numpy(waves[0])])))[:60]
    quiet = quiet_features(ACOUSTIC)
    torch.testing.assert_close(heard[0][0, 45:].float(), alone[45:], atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(heard[0][:, :25].float(), quiet.expand(2, 25, -1), atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(heard[1][0, 25:], heard[1][0, 24:25].expand(2, -1), rtol=0, atol=0)


def test_clips_are_given_what_is_heard_or_stay_as_they_are(tmp_path) -> None:
    ear = load_ear(save_small_whisper(tmp_path / "whisper.safetensors", ACOUSTIC))
    clip = SpeechClip("a", 25, torch.zeros(1, 80, 80))
    (made,) = heard_by(ear, ACOUSTIC, [clip], [noise(1.0, 2)])
    assert made.by_ear is not None
    assert made.by_ear.shape == (3, 25, 16)
    assert heard_by(None, ACOUSTIC, [clip], [noise(1.0, 2)]) == [clip]


def test_an_ear_is_half_of_the_features() -> None:
    own, other = torch.zeros(6, 5, 4).half(), torch.ones(3, 5, 4)
    both = with_ear(HeardFeatures([own, own], torch.zeros(4)), [other, None])
    assert both.clips[0].mean() == 0.5
    assert both.clips[0].dtype == torch.float16
    assert both.clips[1] is own


def test_an_ear_of_another_acoustic_model_is_refused(tmp_path) -> None:
    assert ear_of("none", ACOUSTIC) is None
    assert ear_of("bundled", ACOUSTIC) is None, "it is of the bundled acoustic model"
    assert ear_of("bundled", None) is None
    assert ear_of("bundled", load_acoustic("landmark_tiny")) is not None
    other = save_small_whisper(tmp_path / "other.safetensors", small_acoustic(width=24))
    with pytest.raises(InputError, match="trained for another acoustic model"):
        ear_of(str(other), ACOUSTIC)
    with pytest.raises(CheckpointError, match="no such file"):
        ear_of("nowhere", ACOUSTIC)
