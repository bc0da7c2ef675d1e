"""How well one sequence follows another, such as a mouth's opening the true one: Pearson's correlation, and the lag."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError


def pearson(generated: ArrayLike, truth: ArrayLike) -> float:
    """Pearson correlation of two sequences [T].

    A constant `generated` gives 0.0 (it follows nothing); a constant `truth` gives NaN (there is nothing to follow, so
    the clip has to be left out of a mean). Raises InputError for lengths that differ or are below two.
    """
    a, b = np.asarray(generated, np.float64), np.asarray(truth, np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise InputError(f"sequences of shapes {a.shape} and {b.shape}; a correlation needs two of one length above 1.")
    a, b = a - a.mean(), b - b.mean()
    if _constant(b):
        return float("nan")
    if _constant(a):
        return 0.0
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def _constant(centred: NDArray[np.float64]) -> bool:
    return bool(np.abs(centred).max() < 1e-12)


def mouth_lag(generated: ArrayLike, truth: ArrayLike, most: int = 10) -> tuple[int, float]:
    """The shift in frames (-most..most) at which `generated` [T] follows `truth` [T] best, and the correlation there.

    Above zero: the generated mouth comes late. Only overlapping frames count, at least half of the clip. A constant
    sequence gives (0, its `pearson`).
    """
    a, b = np.asarray(generated, np.float64), np.asarray(truth, np.float64)
    at_zero = pearson(a, b)
    if np.isnan(at_zero) or _constant(a - a.mean()):
        return 0, at_zero
    most = min(most, len(a) // 2)
    scores = {}
    for lag in range(-most, most + 1):
        score = pearson(a[max(lag, 0) : len(a) + min(lag, 0)], b[max(-lag, 0) : len(b) - max(lag, 0)])
        scores[lag] = -1.0 if np.isnan(score) else score
    best = max(scores, key=lambda lag: (scores[lag], -abs(lag)))
    return best, scores[best]
