"""Bootstrap confidence intervals of a mean over clips (Efron, 1979): clips are drawn again with repetition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]

DRAWS = 2000
LEVEL = 0.95
FEWEST = 3
"""Clips below which an interval would say nothing."""


def bootstrap(values: Sequence[float], draws: int = DRAWS, level: float = LEVEL, seed: int = 0) -> Interval | None:
    """The percentile interval of the mean of `values`, one for each clip; None for fewer than `FEWEST` known ones."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) < FEWEST:
        return None
    drawn = np.random.default_rng(seed).integers(len(known), size=(draws, len(known)))
    low, high = np.quantile(known[drawn].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
