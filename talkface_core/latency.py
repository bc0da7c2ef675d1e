"""How long something took, over a run of any length: percentiles in the memory of a histogram."""

from __future__ import annotations

import numpy as np

_STEP, _BINS = 0.001, 60_000  # seconds: milliseconds up to a minute


class Latency:
    """Counts durations in bins of a millisecond; what is longer than a minute counts as a minute."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS + 1, np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration; below 0 it counts as 0."""
        self._counts[min(max(round(seconds / _STEP), 0), _BINS)] += 1

    def at(self, share: float) -> float | None:
        """The duration in seconds that a share of all (0..1) does not go beyond; None before the first."""
        total = int(self._counts.sum())
        if not total:
            return None
        return round(int(np.searchsorted(self._counts.cumsum(), max(share * total, 1))) * _STEP, 3)
