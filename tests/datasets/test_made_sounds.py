"""Sounds made by code: reproducible, as loud as they say, and each as different from speech as its kind."""

import numpy as np
import pytest

from talkface_core.datasets.made_music import MUSIC, plucked, singing
from talkface_core.datasets.made_sounds import KINDS, by_loud_part, crowd, made_sound
from talkface_core.media.timebase import SAMPLE_RATE

LENGTH = 2 * SAMPLE_RATE


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def loud_part(wave: np.ndarray) -> float:
    blocks = np.sort(np.square(wave.reshape(-1, 400)).mean(1))
    return float(np.sqrt(blocks[-len(blocks) // 10 :].mean()))


def centre(wave: np.ndarray) -> float:
    """The mean frequency in Hz."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float((np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) * power).sum() / power.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_reproducible_and_as_loud_as_it_says(kind):
    for seed in range(3):
        wave = made_sound(kind, LENGTH, rng(seed))
        assert (wave.dtype, wave.shape) == (np.float32, (LENGTH,))
        assert loud_part(wave) == pytest.approx(1.0, rel=0.05)
        np.testing.assert_array_equal(wave, made_sound(kind, LENGTH, rng(seed)))
        assert not np.array_equal(wave, made_sound(kind, LENGTH, rng(seed + 3)))


def test_kinds_lie_where_they_are_heard():
    low, high = (np.median([centre(made_sound(kind, LENGTH, rng(n))) for n in range(5)]) for kind in ("bass", "bird"))
    assert low < 300
    assert high > 1400


def test_a_plucked_string_has_its_pitch_and_dies_away():
    wave = plucked(200.0, 2.0, rng())
    spectrum = np.abs(np.fft.rfft(wave[:SAMPLE_RATE]))
    assert abs(int(spectrum[150:250].argmax()) + 150 - 200) <= 3
    assert np.abs(wave[-2000:]).max() < 0.2 * np.abs(wave[:2000]).max()


def test_a_crowd_is_steadier_than_each_of_its_voices():
    """Voices of one second, with pauses as long: of many at once nobody's words, and no pause, is left."""
    burst = np.tile(np.repeat([1.0, 0.0], SAMPLE_RATE), 4)
    voices = [(burst * rng(n).standard_normal(len(burst))).astype(np.float32) for n in range(5)]
    many = crowd(voices, len(burst), rng())
    level = np.square(many.reshape(-1, 400)).mean(1)
    assert loud_part(many) == pytest.approx(1.0, rel=0.05)
    assert level[40:].min() > 0.05 * level.max()


def test_silence_stays_silent():
    assert not by_loud_part(np.zeros(LENGTH)).any()


def test_singing_holds_its_notes():
    """It is no speech and no music to be trained on: it stands in no table."""
    assert singing not in MUSIC.values()
    wave = singing(LENGTH, rng(1))
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() > 0
