"""Distances of whole sets: the Frechet distance of two sets' vectors, as FID (Heusel et al. 2017) and FVD have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Of two sets of vectors [N,D] and [M,D], taken for normal: |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)).

    The trace of the root is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric. Raises
    InputError for fewer than two vectors.
    """
    if min(len(a), len(b)) < 2:
        raise InputError(f"{len(a)} and {len(b)} vectors; a Frechet distance needs two of each at least.")
    means = [x.mean(0, dtype=np.float64) for x in (a, b)]
    spreads = [np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (a, b)]
    values, vectors = np.linalg.eigh(spreads[0])
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ spreads[1] @ root).clip(min=0)
    away = float(np.square(means[0] - means[1]).sum())
    spread = float(np.trace(spreads[0]) + np.trace(spreads[1]) - 2 * np.sqrt(product).sum())
    return away + max(spread, 0.0)  # rounding takes equal sets of few vectors below zero
