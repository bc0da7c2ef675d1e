"""The Frechet distance beside torchmetrics', and bootstrap intervals beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap as scipy_bootstrap
from torchmetrics.image.fid import _compute_fid

from talkface_core.errors import InputError
from talkface_core.evaluation.frechet import frechet_distance
from talkface_core.evaluation.intervals import bootstrap


def test_frechet_distance_is_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(mean, 1 + mean, (50, 12)) for mean in (0, 0.3))
    sides = [statistic for x in (a, b) for statistic in (x.mean(0), np.cov(x, rowvar=False))]
    reference = float(_compute_fid(*map(torch.from_numpy, sides)))
    assert frechet_distance(a, b) == pytest.approx(reference, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)
    with pytest.raises(InputError, match="1 and 50"):
        frechet_distance(a[:1], b)


def test_intervals_are_those_of_scipy():
    values = np.random.default_rng(1).normal(3, 2, 40)
    low, high = bootstrap(values)
    reference = scipy_bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(5))
    assert low == pytest.approx(reference.confidence_interval.low, abs=0.1)
    assert high == pytest.approx(reference.confidence_interval.high, abs=0.1)
    assert bootstrap([1.0, np.nan, 2.0]) is None
    assert bootstrap([2.0, 2.0, 2.0]) == (2.0, 2.0)
