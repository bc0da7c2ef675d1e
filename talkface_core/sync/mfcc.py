"""Cepstral coefficients as the published SyncNet evaluator hears sound (Davis and Mermelstein, 1980).

The settings are those of the package python_speech_features, which its code calls without any: 13 coefficients of 26
mel bands, 100 a second of 25 ms each, no window function, a lifter of 22; the first is the log of the frame's energy.
Numbers equal that package's to the last digits.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..media.timebase import SAMPLE_RATE

RATE = 100
"""Steps a second."""
COEFFICIENTS = 13

_FRAME, _STEP, _FFT, _BANDS, _LIFTER, _EMPHASIS = 400, 160, 512, 26, 22, 0.97


def mfcc(wave: NDArray[np.floating]) -> NDArray[np.float64]:
    """A wave [N] at 16 kHz, -1..1, as 16-bit files hold it -> [steps,13]; what is missing at the end is silence."""
    samples = np.round(np.clip(wave, -1, 1) * 32768).clip(-32768, 32767).astype(np.float64)
    emphasised = np.append(samples[:1], samples[1:] - _EMPHASIS * samples[:-1])
    count = 1 + max(-(-(len(emphasised) - _FRAME) // _STEP), 0)
    padded = np.zeros((count - 1) * _STEP + _FRAME)
    padded[: min(len(emphasised), len(padded))] = emphasised[: len(padded)]
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_STEP]
    power = np.square(np.abs(np.fft.rfft(frames, _FFT))) / _FFT
    least = np.finfo(float).eps
    energy, bands = power.sum(1), power @ _triangles().T
    logs = np.log(np.where(bands == 0, least, bands))
    cepstra = logs @ _cosines().T
    cepstra *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / _LIFTER)
    cepstra[:, 0] = np.log(np.where(energy == 0, least, energy))
    return cepstra


@cache
def _triangles() -> NDArray[np.float64]:
    """Mel bands [26, bins] of equal width from 0 to Nyquist, whose corners lie on whole bins."""
    highest = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, highest, _BANDS + 2) / 2595) - 1)
    corners = np.floor((_FFT + 1) * hertz / SAMPLE_RATE)
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    bins = np.arange(_FFT // 2 + 1)
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    inside = np.where(bins < middle, rising, falling)
    return np.where((bins >= low) & (bins < high), inside, 0.0)


@cache
def _cosines() -> NDArray[np.float64]:
    """The orthonormal cosine transform of type II [13, 26]."""
    k, n = np.arange(COEFFICIENTS, dtype=float)[:, None], np.arange(_BANDS, dtype=float)[None]
    scale = np.where(k == 0, np.sqrt(1 / _BANDS), np.sqrt(2 / _BANDS))
    transform: NDArray[np.float64] = scale * np.cos(np.pi * k * (2 * n + 1) / (2 * _BANDS))
    return transform
