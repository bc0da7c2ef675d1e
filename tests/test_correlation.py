"""Correlation and lag against numpy and against what was shifted by hand."""

import math

import numpy as np
import pytest

from talkface_core.correlation import mouth_lag, pearson
from talkface_core.errors import InputError


def test_pearson_is_numpys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(size=50)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-12)
    assert pearson(a, -3 * a + 1) == pytest.approx(-1.0)


def test_pearson_of_a_constant():
    moving, still = np.arange(5.0), np.full(5, 0.3)
    assert pearson(still, moving) == 0.0
    assert math.isnan(pearson(moving, still))


@pytest.mark.parametrize("pair", [(np.zeros(3), np.zeros(4)), (np.zeros(1), np.zeros(1)), (np.zeros((2, 2)),) * 2])
def test_pearson_refuses_what_it_cannot_compare(pair):
    with pytest.raises(InputError, match="one length above 1"):
        pearson(*pair)


@pytest.mark.parametrize("late", [-4, 0, 3])
def test_mouth_lag_is_positive_when_the_mouth_is_late(late):
    truth = np.random.default_rng(1).normal(size=80)
    lag, score = mouth_lag(np.roll(truth, late), truth)
    assert lag == late
    assert score == pytest.approx(1.0)


def test_mouth_lag_of_a_mouth_that_never_moves():
    assert mouth_lag(np.zeros(20), np.arange(20.0)) == (0, 0.0)
