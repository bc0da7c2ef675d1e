"""The mel scale of Slaney's Auditory Toolbox (1998) and its triangular filters of unit area.

Linear below 1000 Hz, three mels for 200 Hz; above, 27 mels for each factor of 6.4. The numbers are those of librosa's
`filters.mel`, which the published networks were trained with; librosa itself would bring a compiler along.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_HERTZ_PER_MEL = 200 / 3
_KNEE_HERTZ = 1000.0
_KNEE = _KNEE_HERTZ / _HERTZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27


def mel_of(hertz: float) -> float:
    """Where a frequency lies on the scale."""
    return hertz / _HERTZ_PER_MEL if hertz < _KNEE_HERTZ else _KNEE + math.log(hertz / _KNEE_HERTZ) / _LOG_STEP


def mel_frequencies(count: int, lowest: float, highest: float) -> NDArray[np.float64]:
    """`count` frequencies in Hz, evenly spread on the scale from `lowest` to `highest`."""
    mels = np.linspace(mel_of(lowest), mel_of(highest), count)
    linear, logarithmic = _HERTZ_PER_MEL * mels, _KNEE_HERTZ * np.exp(_LOG_STEP * (mels - _KNEE))
    return np.where(mels < _KNEE, linear, logarithmic)


def triangles(bands: int, lowest: float, highest: float, sample_rate: int, n_fft: int) -> NDArray[np.float32]:
    """Filters [bands, n_fft // 2 + 1] over an STFT's bins, each from one neighbour's centre to the other's."""
    edges = mel_frequencies(bands + 2, lowest, highest)
    bins = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    low, centre, high = (edges[k : k + bands, None] for k in range(3))
    heights = np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre))
    # Rounded before they are scaled, as the filters that the networks know were.
    rounded = np.maximum(heights, 0).astype(np.float32)
    return (rounded * (2 / (high - low))).astype(np.float32)
