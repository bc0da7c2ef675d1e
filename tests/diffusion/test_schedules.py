"""Schedules against published numbers, and the choice of time steps."""

import math

import pytest
import torch

from talkface_core.diffusion.schedules import SCHEDULES, make_schedule, timesteps
from talkface_core.errors import InputError


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", SCHEDULES)
def test_falls_strictly_from_nearly_clean(name, zero):
    bar = make_schedule(name, zero_terminal_snr=zero).alphas_cumprod
    assert bar.dtype == torch.float64
    assert bar.shape == (1000,)
    assert bar[0] > 0.998
    assert (bar.diff() < 0).all()
    assert bar[-1] == 0 if zero else bar[-1] > 0


def test_trailing_and_leading():
    schedule = make_schedule("linear")
    assert timesteps(schedule, 5) == [999, 799, 599, 399, 199]
    assert timesteps(schedule, 5, "leading") == [800, 600, 400, 200, 0]


def test_unknown_name_lists_the_choices():
    with pytest.raises(InputError, match="linear, cosine, scaled_linear"):
        make_schedule("quadratic")


def test_clean_end():
    assert make_schedule("cosine").alpha_sigma(-1) == (1.0, 0.0)
    assert make_schedule("cosine").half_log_snr(-1) == math.inf
