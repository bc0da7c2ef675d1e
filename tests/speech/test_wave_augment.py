"""Sound augmentation: reproducible, in time, and each effect measured for what it claims."""

import numpy as np
import pytest
import torch

from talkface_core.media.timebase import SAMPLE_RATE
from talkface_core.speech import wave_augment
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_augment import (
    MelAugment,
    energy_mel,
    mel_energy,
    reverberate_energy,
    warp_frequencies,
)
from talkface_core.speech.wave_augment import NOISES, WaveAugment


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE).astype(np.float32)


def share(wave: np.ndarray, low: float, high: float) -> float:
    power, hertz = np.abs(np.fft.rfft(wave)) ** 2, np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    return float(power[(hertz >= low) & (hertz < high)].sum() / power.sum())


@pytest.mark.parametrize("kind", NOISES)
def test_noises_are_reproducible_and_of_rms_one(kind):
    wave = wave_augment.noise(kind, 20_000, rng(3))
    assert wave.dtype == np.float32
    assert wave.shape == (20_000,)
    assert np.sqrt(np.mean(wave**2)) == pytest.approx(1.0, rel=1e-3)
    np.testing.assert_array_equal(wave, wave_augment.noise(kind, 20_000, rng(3)))
    assert not np.array_equal(wave, wave_augment.noise(kind, 20_000, rng(4)))


def test_noises_have_their_colour():
    low = {kind: share(wave_augment.noise(kind, 64_000, rng()), 0, 500) for kind in ("white", "pink", "brown")}
    assert low["white"] == pytest.approx(500 / 8000, rel=0.1)
    assert low["white"] < low["pink"] < low["brown"]
    octaves = [share(wave_augment.noise("pink", 64_000, rng()), f, 2 * f) for f in (250, 500, 1000, 2000)]
    assert max(octaves) < 1.15 * min(octaves)


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_lies_at_the_ratio_asked_for(snr):
    speech = tone(300)
    noise = wave_augment.add_noise(speech, wave_augment.noise("white", len(speech), rng()), snr) - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.2)


def test_the_direct_sound_of_a_room_stays_in_place():
    click = np.zeros(8000, np.float32)
    click[1000] = 1.0
    wet = wave_augment.reverberate(click, rng(), 0.3, 6.0)
    assert len(wet) == len(click)
    assert np.argmax(np.abs(wet)) == 1000
    assert np.abs(wet[:1000]).max() < 1e-6
    assert np.sum(wet[1001:] ** 2) == pytest.approx(10 ** (-6.0 / 10), rel=1e-3)


def test_telephone_clipping_and_companding():
    wave = tone(100) + tone(1000) + tone(5000)
    assert share(wave_augment.band_limit(wave, 300, 3400), 900, 1100) > 0.99
    clipped = wave_augment.clip(tone(203.7), 0.2)
    assert np.mean(np.abs(clipped) >= np.abs(clipped).max() - 1e-6) == pytest.approx(0.2, abs=0.02)
    coarse, fine = (wave_augment.compand(tone(200), bits) - tone(200) for bits in (5, 8))
    assert np.std(fine) < 0.02 < np.std(coarse) < 0.1


def test_the_chain_is_reproducible_and_keeps_length_and_timing():
    wave = np.concatenate([np.zeros(8000, np.float32), tone(500, 0.5), np.zeros(8000, np.float32)])
    chain = WaveAugment(noise=0.0, babble=0.0)
    for seed in range(8):
        out = chain(wave, rng(seed), [tone(700)])
        np.testing.assert_array_equal(out, chain(wave, rng(seed), [tone(700)]))
        assert out.shape == wave.shape
        assert out.dtype == np.float32
        level = np.abs(out).reshape(-1, 200).max(1)
        assert 39 <= int(np.argmax(level > 0.3 * level.max())) <= 42
    noisy = WaveAugment(noise=1.0, babble=1.0)(wave, rng(), [tone(700), tone(900)])
    assert np.abs(noisy[:4000]).max() > 0


@pytest.fixture(scope="module")
def vowel() -> torch.Tensor:
    """Log-mel of a buzz of 120 Hz with one formant at 1500 Hz, [1, S, 80], silent in its last third."""
    buzz = sum(tone(120 * k, 1.5) * np.float32(np.exp(-(((120 * k - 1500) / 400) ** 2))) for k in range(1, 60))
    buzz[16000:] = 0.0
    return LogMel()(torch.from_numpy(0.1 * buzz))[None]


def test_energy_and_mel_are_inverse():
    mel = torch.linspace(-4, 4, 50)[None, None]
    torch.testing.assert_close(energy_mel(mel_energy(mel)), mel, rtol=0, atol=1e-4)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_a_warp_moves_the_formant_by_its_factor(vowel, factor):
    import librosa

    hertz = librosa.mel_frequencies(82, fmin=55, fmax=7600)[1:-1]
    warped = warp_frequencies(vowel, torch.tensor([factor]))

    def formant(mel):
        energy = mel_energy(mel)[0, 20:60].mean(0).numpy()
        energy[hertz < 800] = 0
        return float((energy * hertz).sum() / energy.sum())

    assert formant(warped) / formant(vowel) == pytest.approx(factor, rel=0.03)
    torch.testing.assert_close(warp_frequencies(vowel, torch.tensor([1.0])), vowel, rtol=0, atol=1e-5)


def test_a_tail_has_the_energy_and_the_decay_asked_for():
    energy = torch.zeros(1, 160, 2)
    energy[0, 10] = 1.0
    wet = reverberate_energy(energy, torch.tensor([0.5]), torch.tensor([0.3]))[0, :, 0]
    assert float(wet[10]) == pytest.approx(1.0, abs=1e-5)
    assert float(wet[11:].sum()) == pytest.approx(0.3, rel=1e-3)
    assert float(10 * torch.log10(wet[12] / wet[32])) == pytest.approx(60 * 20 / 40, rel=1e-2)
    assert wet[:10].abs().max() < 1e-6


def test_the_mel_chain_is_reproducible_in_range_and_in_time(vowel):
    mel = vowel.expand(6, -1, -1)
    noises = LogMel()(torch.from_numpy(0.03 * wave_augment.noise("pink", 40_000, rng())))[None]
    chain = MelAugment(clean=0.0)
    once = chain(mel, rng(1), noises)
    torch.testing.assert_close(once, chain(mel, rng(1), noises))
    assert once.shape == mel.shape
    assert once.abs().max() <= 4.0
    assert len({round(float(x.mean()), 4) for x in once}) == 6
    quiet = MelAugment(noise_probability=0.0, reverb_probability=0.0, masks=0, clean=0.0)(mel, rng(2), noises)
    assert quiet[:, 85:].max() < quiet[:, 20:60].amax((1, 2)).min()
    torch.testing.assert_close(MelAugment(clean=1.0)(mel, rng(1), noises), mel.contiguous())


def test_a_sound_that_is_too_short_for_the_filters_comes_back():
    always = WaveAugment(reverb=1, equaliser=1, noise=1, babble=1, clip=1, telephone=1, codec=1)
    for count in (0, 1, 27, 32, 33, 100):
        wave = tone(300)[:count]
        made = always(wave, rng(), [tone(200), tone(200)[:0]])
        assert made.shape == wave.shape
        assert np.isfinite(made).all()
        assert np.array_equal(made, wave) == (count <= 32)
