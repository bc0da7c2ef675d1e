"""From clips on disk to training data: latents, sound and truth of the same frames."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.dae_talker.speech_data import read_clips
from talkface_core.datasets.clips import ClipSet
from talkface_core.datasets.labelled_sounds import read_voices
from talkface_core.datasets.labels import IGNORE, VISEMES
from talkface_core.errors import InputError
from talkface_core.speech.features import LogMel

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two clips of 30 frames, the second without a truth of its own kind."""
    path = tmp_path_factory.mktemp("set") / "train"
    path.mkdir()
    for name in ("a", "b"):
        for kind in ("mp4", "flac", "npz"):
            shutil.copy(FIXTURES / f"ada_talks.{kind}", path / f"{name}.{kind}")
    return path


def test_clips_carry_their_own_latents_sound_and_truth(folder):
    latents = np.arange(60 * 4, dtype=np.float32).reshape(60, 4)
    first, second = read_clips(ClipSet.open(folder), latents, versions=2, seed=5)
    assert (first.name, second.name) == ("a", "b")
    np.testing.assert_array_equal(second.latents.numpy(), latents[30:])
    assert first.mels.shape == (2, 96, 80)
    assert first.mels.dtype == torch.float16
    assert (first.mels[0] - first.mels[1]).abs().mean() > 0.05
    torch.testing.assert_close(first.mels[0], second.mels[0])
    truth = np.load(FIXTURES / "ada_talks.npz")
    np.testing.assert_allclose(first.pose.numpy(), truth["pose"], rtol=1e-3)
    np.testing.assert_array_equal(first.speech.numpy(), truth["speech"])
    assert first.eyes.shape == (30,)
    # The lip points' gap is the truth's opening on another scale.
    assert np.corrcoef(first.mouth[:, -1].numpy(), truth["mouth_open"].astype(float))[0, 1] > 0.95
    again = read_clips(ClipSet.open(folder), latents, versions=2, seed=5)[0]
    torch.testing.assert_close(again.mels, first.mels, rtol=0, atol=0)


def test_wrong_latents_are_refused(folder):
    with pytest.raises(InputError, match="60 frames but 59 latents"):
        read_clips(ClipSet.open(folder), np.zeros((59, 4)))


def test_voices_need_a_truth_beside_them(folder, tmp_path):
    shutil.copy(folder / "a.flac", tmp_path / "a.flac")
    with pytest.raises(InputError, match="give labelled voices"):
        read_voices(tmp_path)
    # A portrait: one picture, and a voice with labels of its own.
    labels = {"phonemes": np.array(json.dumps([["m", "PP", 0.0, 0.2]])), "voice_speech": np.arange(30) < 9}
    np.savez(tmp_path / "a.npz", pose=np.zeros((1, 3), np.float16), speech=np.array([True]), **labels)
    (voice,) = read_voices(tmp_path)
    assert voice.frames == 30
    assert voice.latents is None
    assert voice.pose is None
    assert voice.speech.sum() == 9
    assert voice.visemes[:6].tolist() == [VISEMES.index("PP")] * 5 + [IGNORE]
    torch.testing.assert_close(voice.mels[0].float(), LogMel()(read_wave(tmp_path / "a.flac")), rtol=0, atol=2e-3)


def read_wave(path: Path) -> torch.Tensor:
    from talkface_core.media.audio import analysis_audio, load_audio

    return analysis_audio(load_audio(path))
