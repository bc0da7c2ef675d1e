"""Sound augmentation on the wave: noises, rooms, microphones, telephones and codecs.

Source: common practice of robust speech recognition (additive noise, synthetic room responses, band limits,
companding). Everything is mono float32 at 16 kHz, keeps its length and its timing, and is reproducible from the
`numpy.random.Generator` it is given. `mel_augment.py` holds the cheaper half that works on log-mels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from ..media.timebase import SAMPLE_RATE

Wave = NDArray[np.float32]
EXPONENTS = {"white": 0.0, "pink": 0.5, "brown": 1.0}
NOISES = (*EXPONENTS, "hum", "room", "clicks")


def _scaled(wave: NDArray[np.floating], rms: float = 1.0) -> Wave:
    return (wave * (rms / max(float(np.sqrt(np.mean(np.square(wave)))), 1e-9))).astype(np.float32)


def coloured_noise(samples: int, exponent: float, rng: np.random.Generator) -> Wave:
    """Gaussian noise whose amplitude falls as frequency^-exponent (0 white, 0.5 pink, 1 brown) above 20 Hz; rms 1."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 20.0)
    return _scaled(np.fft.irfft(spectrum * hertz**-exponent, samples))


def noise(kind: str, samples: int, rng: np.random.Generator) -> Wave:
    """Noise of one of `NOISES`, rms 1: coloured; mains hum with harmonics; room tone (a coloured floor with slow swells
    and resonances); clicks on a faint floor, as of keys and mice."""
    if kind in EXPONENTS:
        return coloured_noise(samples, EXPONENTS[kind], rng)
    seconds = np.arange(samples) / SAMPLE_RATE
    floor = coloured_noise(samples, rng.uniform(0.0, 1.2), rng)
    if kind == "hum":
        base = rng.choice([50.0, 60.0]) * rng.choice([1, 2])
        parts = [rng.random() / k * np.sin(2 * np.pi * (k * base * seconds + rng.random())) for k in range(1, 24)]
        return _scaled(np.sum(parts, axis=0) + rng.uniform(0.01, 0.3) * floor)
    if kind == "room":
        swell = 1.0 + 0.2 * np.interp(
            seconds, np.arange(samples // 1600 + 2) / 10, rng.standard_normal(samples // 1600 + 2)
        )
        tone = sum(
            rng.uniform(0, 0.2) * np.sin(2 * np.pi * (rng.uniform(60, 4000) * seconds + rng.random())) for _ in range(3)
        )
        return _scaled(equalise(floor, rng, 9.0) * np.maximum(swell, 0.05) + tone)
    clicks = np.zeros(samples)
    for place in rng.integers(0, samples, max(1, int(rng.uniform(0.5, 6) * samples / SAMPLE_RATE))):
        length = int(rng.uniform(0.002, 0.03) * SAMPLE_RATE)
        burst = rng.standard_normal(length) * np.exp(-np.linspace(0, 6, length))
        clicks[place : place + length] += rng.uniform(3, 20) * burst[: samples - place]
    return _scaled(clicks + rng.uniform(0.2, 1.0) * floor)


def babble(voices: Sequence[Wave], samples: int, rng: np.random.Generator, talkers: int = 5) -> Wave:
    """Several of `voices` at once, each from a random place, repeated to length; rms 1."""
    total = np.zeros(samples, dtype=np.float32)
    for index in rng.integers(0, len(voices), talkers):
        voice = np.resize(np.roll(voices[index], rng.integers(0, len(voices[index]))), samples)
        total += _scaled(voice) * np.float32(rng.uniform(0.3, 1.0))
    return _scaled(total)


def add_noise(wave: Wave, added: Wave, snr_db: float) -> Wave:
    """Noise under speech: the ratio counts the loudest half of the speech, so that pauses do not change it."""
    blocks = np.sqrt(np.mean(np.square(np.resize(wave, (max(len(wave) // 400, 1), 400))), axis=1))
    loud = float(np.mean(np.sort(blocks)[len(blocks) // 2 :]))
    return (wave + _scaled(added, loud * 10 ** (-snr_db / 20))).astype(np.float32)


def reverberate(wave: Wave, rng: np.random.Generator, seconds: float, direct_db: float) -> Wave:
    """Convolve with a synthetic room: the direct sound, then Gaussian noise that falls by 60 dB in `seconds` and whose
    energy is `direct_db` below the direct sound's. The direct sound stays in place."""
    length = max(int(seconds * SAMPLE_RATE), 2)
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: int(0.002 * SAMPLE_RATE)] = 0.0
    response = tail / max(np.sqrt(np.sum(tail**2)), 1e-9) * 10 ** (-direct_db / 20)
    response[0] = 1.0
    return signal.fftconvolve(wave, response)[: len(wave)].astype(np.float32)


def equalise(wave: Wave, rng: np.random.Generator, decibels: float = 6.0) -> Wave:
    """A random smooth frequency response of deviation `decibels`, seven knots from 60 Hz to 8 kHz; zero phase."""
    hertz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    gain = np.interp(
        np.log(np.maximum(hertz, 60)), np.linspace(np.log(60), np.log(8000), 7), rng.normal(0, decibels, 7)
    )
    return np.fft.irfft(np.fft.rfft(wave) * 10 ** (gain / 20), len(wave)).astype(np.float32)


def band_limit(wave: Wave, low: float, high: float) -> Wave:
    """Keep `low` to `high` Hz, with skirts of a fourth-order filter; zero phase. Telephone: 300 to 3400."""
    sections = signal.butter(4, [low, min(high, 7900.0)], "bandpass", fs=SAMPLE_RATE, output="sos")
    return signal.sosfiltfilt(sections, wave).astype(np.float32)


def clip(wave: Wave, share: float) -> Wave:
    """Clip the loudest `share` of the samples, as an overdriven input does."""
    limit = max(float(np.quantile(np.abs(wave), 1.0 - share)), 1e-6)
    return np.clip(wave, -limit, limit)


def compand(wave: Wave, bits: int, mu: float = 255.0) -> Wave:
    """Quantise to `bits` after mu-law compression (ITU-T G.711 has 8), peak-normalised: the grain of a cheap codec."""
    peak = max(float(np.abs(wave).max()), 1e-9)
    x = wave / peak
    squeezed = np.sign(x) * np.log1p(mu * np.abs(x)) / np.log1p(mu)
    levels = 2 ** (bits - 1)
    squeezed = np.round(squeezed * levels) / levels
    return (peak * np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log1p(mu)) / mu).astype(np.float32)


_LEAST = 32  # samples: the filters run both ways, over more than their own length


@dataclass(frozen=True)
class WaveAugment:
    """A chain of the above, each with its own probability."""

    reverb: float = 0.4
    equaliser: float = 0.5
    noise: float = 0.6
    snr: tuple[float, float] = (3.0, 40.0)
    babble: float = 0.1
    clip: float = 0.1
    telephone: float = 0.15
    codec: float = 0.15
    level: tuple[float, float] = (-30.0, 0.0)

    def __call__(self, wave: Wave, rng: np.random.Generator, voices: Sequence[Wave] = ()) -> Wave:
        """wave [N] -> [N]; `voices` are other people's waves for the babble (none: no babble). Two milliseconds
        and less come back as they are."""
        if len(wave) <= _LEAST:
            return wave
        x, voices = wave, [voice for voice in voices if len(voice)]
        if rng.random() < self.reverb:
            x = reverberate(x, rng, rng.uniform(0.1, 0.8), rng.uniform(-2.0, 15.0))
        if rng.random() < self.equaliser:
            x = equalise(x, rng)
        if rng.random() < self.noise:
            x = add_noise(x, noise(str(rng.choice(NOISES)), len(x), rng), rng.uniform(*self.snr))
        if len(voices) and rng.random() < self.babble:
            x = add_noise(x, babble(voices, len(x), rng), rng.uniform(12.0, 30.0))
        if rng.random() < self.clip:
            x = clip(x, rng.uniform(0.001, 0.05))
        if rng.random() < self.telephone:
            x = band_limit(x, 300.0, 3400.0)
        if rng.random() < self.codec:
            x = compand(x, int(rng.integers(5, 9)))
        return _peak(x, 10 ** (rng.uniform(*self.level) / 20))


def _peak(wave: Wave, peak: float) -> Wave:
    return (wave * np.float32(peak / max(float(np.abs(wave).max()), 1e-9))).astype(np.float32)
