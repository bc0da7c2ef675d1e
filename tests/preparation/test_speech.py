"""Speech flags: syllables over noise of any level are speech, the noise and silence alone are none."""

import numpy as np
import pytest
import torch

from talkface_core.preparation.speech import rising, speech_frames

from .conftest import voice


def said(noise: float) -> np.ndarray:
    """A second of pause, two of syllables, one of pause, over white noise of a level (rms)."""
    speech = np.concatenate([np.zeros(16000), voice(2), np.zeros(16000)])
    return (speech + noise * np.random.default_rng(1).standard_normal(len(speech))).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
def test_syllables_are_speech_and_pauses_are_none(noise):
    flags = speech_frames(said(noise), 100, 25)
    assert flags.dtype == bool
    assert flags.shape == (100,)
    assert flags[28:72].mean() > 0.8
    assert flags[:22].sum() + flags[78:].sum() == 0


def test_noise_and_silence_are_no_speech():
    rng = np.random.default_rng(0)
    for wave in (np.zeros(32000), 0.05 * rng.standard_normal(32000), 1e-5 * rng.standard_normal(32000)):
        assert not speech_frames(wave.astype(np.float32), 50, 25).any()


def test_another_finder_is_asked_at_the_frames_centres():
    steps = []

    def find(mel: torch.Tensor) -> torch.Tensor:
        steps.append(len(mel))
        return torch.arange(len(mel)) >= 40  # from 0.5 s on

    flags = speech_frames(voice(1), 25, 25, find)
    assert steps == [80]
    assert flags.tolist() == [False] * 12 + [True] * 13
    assert rising(torch.full((3, 80), -4.0)).tolist() == [False] * 3
