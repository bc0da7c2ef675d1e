"""Schedules against their papers' formulas, and the choice of time steps."""

import copy
import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkface_core.diffusion.schedules import SCHEDULES, SPACINGS, Schedule, timesteps
from talkface_core.errors import InputError

EVERY = pytest.mark.parametrize(
    "schedule", [Schedule(name, 1000, zero) for name in SCHEDULES for zero in (False, True)]
)


@EVERY
def test_falls_strictly_from_nearly_clean(schedule):
    bar = schedule.alphas_cumprod
    assert bar.dtype == torch.float64
    assert bar.shape == (1000,)
    assert 0.998 < bar[0] < 1
    assert (bar.diff() < 0).all()
    assert (bar >= 0).all()


@EVERY
def test_only_zero_terminal_snr_ends_in_pure_noise(schedule):
    alpha, sigma = schedule.alpha_sigma(999)
    if schedule.zero_terminal_snr:
        assert (alpha, sigma) == (0.0, 1.0)
        assert schedule.half_log_snr(999) == -math.inf
    else:
        assert 0 < alpha < 0.1
        assert schedule.half_log_snr(999) == pytest.approx(math.log(alpha / sigma))


def test_linear_is_ddpm():
    bar = Schedule("linear").alphas_cumprod.numpy()
    product, expected = 1.0, []
    for t in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        expected.append(product)
    np.testing.assert_allclose(bar, expected, rtol=1e-10)
    assert bar[-1] == pytest.approx(4.036e-5, rel=1e-3)


def test_scaled_linear_is_ldm():
    bar = Schedule("scaled_linear").alphas_cumprod.numpy()
    betas = 1 - bar / np.concatenate([[1.0], bar[:-1]])
    assert betas[0] == pytest.approx(0.0015)
    assert betas[-1] == pytest.approx(0.0195)
    np.testing.assert_allclose(np.diff(np.sqrt(betas), 2), 0, atol=1e-10)


def test_cosine_is_the_closed_form_with_clipped_betas():
    bar = Schedule("cosine").alphas_cumprod.numpy()
    t = np.arange(1, 1001)
    closed = np.cos((t / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(bar[:-1], closed[:-1], rtol=1e-8)
    assert bar[-1] == pytest.approx(bar[-2] * 1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_zero_terminal_snr_is_an_affine_map_of_sqrt_abar(name):
    plain = Schedule(name).alphas_cumprod.sqrt()
    zeroed = Schedule(name, zero_terminal_snr=True).alphas_cumprod.sqrt()
    assert zeroed[-1] == 0
    torch.testing.assert_close(zeroed[0], plain[0], rtol=1e-14, atol=0)
    slopes = zeroed.diff() / plain.diff()
    torch.testing.assert_close(slopes, slopes[:1].expand(999), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
def test_other_lengths_keep_the_total_noise(name):
    short, long = (Schedule(name, steps).alphas_cumprod[-1].log() for steps in (1000, 4000))
    assert long == pytest.approx(short.item(), rel=0.02)


@pytest.mark.parametrize("steps", [2, 3, 10])
@pytest.mark.parametrize("name", SCHEDULES)
def test_very_short_schedules_stay_valid(name, steps):
    for zero in (False, True):
        bar = Schedule(name, steps, zero).alphas_cumprod
        assert (bar.diff() < 0).all()
        assert ((bar >= 0) & (bar < 1)).all()


@EVERY
def test_levels_lie_on_the_unit_circle(schedule):
    for t in (-1, 0, 1, 500, 998, 999):
        alpha, sigma = schedule.alpha_sigma(t)
        assert isinstance(alpha, float)
        assert alpha**2 + sigma**2 == pytest.approx(1, abs=1e-12)


def test_the_clean_end():
    schedule = Schedule("cosine")
    assert schedule.alpha_sigma(-1) == (1.0, 0.0)
    assert schedule.half_log_snr(-1) == math.inf


@EVERY
def test_a_tensor_of_steps_gives_the_same_levels(schedule):
    ts = torch.tensor([[-1, 0, 17], [500, 998, 999]])
    alpha, sigma = schedule.alpha_sigma(ts)
    assert alpha.shape == sigma.shape == ts.shape
    assert alpha.dtype == sigma.dtype == torch.float32
    for index, t in np.ndenumerate(ts.numpy()):
        assert (alpha[index].item(), sigma[index].item()) == pytest.approx(schedule.alpha_sigma(int(t)), rel=1e-7)


@pytest.mark.parametrize("t", [-2, 1000, torch.tensor([0, 1000]), torch.tensor([-2, 0]), torch.tensor([0.5])])
def test_steps_outside_the_schedule_are_refused(t):
    with pytest.raises(InputError, match=r"time steps .* 999, not"):
        Schedule("linear").alpha_sigma(t)


def test_unknown_name_lists_the_choices():
    with pytest.raises(InputError, match=r"'quadratic'.*linear, cosine, scaled_linear"):
        Schedule("quadratic")


@pytest.mark.parametrize("steps", [1, 0, -5, 10.0, True, "1000"])
def test_impossible_lengths_are_refused(steps):
    with pytest.raises(InputError, match="whole number of 2 to 100000 steps"):
        Schedule("linear", steps)


def test_zero_terminal_snr_must_be_a_truth_value():
    with pytest.raises(InputError, match="true or false, not 'no'"):
        Schedule(zero_terminal_snr="no")


@EVERY
def test_goes_through_json(schedule):
    config = schedule.to_dict()
    assert config == {"name": schedule.name, "steps": 1000, "zero_terminal_snr": schedule.zero_terminal_snr}
    again = Schedule.from_dict(json.loads(json.dumps(config)))
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert torch.equal(again.alphas_cumprod, schedule.alphas_cumprod)


def test_unknown_settings_are_named():
    with pytest.raises(InputError, match=r"beta_start is unknown; Schedule has name, steps, zero_terminal_snr"):
        Schedule.from_dict({"name": "linear", "beta_start": 0.1})


def test_different_settings_differ():
    assert len({Schedule(name, steps, z) for name in SCHEDULES for steps in (10, 20) for z in (False, True)}) == 12


def test_a_used_schedule_can_be_copied():
    schedule = Schedule("cosine")
    schedule.alpha_sigma(3)
    assert copy.deepcopy(schedule).alpha_sigma(3) == schedule.alpha_sigma(3)


def test_ten_of_a_thousand_as_published():
    """Lin et al., table 2, counted from 0 instead of 1."""
    schedule = Schedule("linear")
    assert timesteps(schedule, 10) == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert timesteps(schedule, 10, "leading") == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]


def test_seven_of_a_thousand_are_rounded():
    """Trailing to the nearest step, leading down; neither leaves a remainder at one end."""
    schedule = Schedule("linear")
    assert timesteps(schedule, 7) == [999, 856, 713, 570, 428, 285, 142]
    assert timesteps(schedule, 7, "leading") == [857, 714, 571, 428, 285, 142, 0]


def test_one_step():
    schedule = Schedule("linear")
    assert timesteps(schedule, 1) == [999]
    assert timesteps(schedule, 1, "leading") == [0]


@settings(deadline=None, derandomize=True)
@given(total=st.integers(2, 3000), share=st.floats(0, 1), spacing=st.sampled_from(SPACINGS))
def test_steps_fall_strictly_and_evenly_within_the_schedule(total, share, spacing):
    n = max(1, round(share * total))
    ts = timesteps(Schedule("linear", total), n, spacing)
    assert len(ts) == n
    assert ts[0] < total
    assert ts[-1] >= 0
    gaps = {a - b for a, b in pairwise(ts)}
    assert all(gap > 0 and abs(gap - total / n) <= 1 for gap in gaps)
    assert ts[0] == total - 1 if spacing == "trailing" else ts[-1] == 0


@pytest.mark.parametrize("spacing", SPACINGS)
def test_all_steps(spacing):
    assert timesteps(Schedule("linear", 37), 37, spacing) == list(range(36, -1, -1))


@pytest.mark.parametrize("n", [0, -1, 1001, 2.5])
def test_impossible_numbers_of_steps_are_refused(n):
    with pytest.raises(InputError, match=f"cannot take {n} sampling steps from a schedule of 1000"):
        timesteps(Schedule("linear"), n)


def test_unknown_spacing_lists_the_choices():
    with pytest.raises(InputError, match=r"'karras'.*trailing, leading"):
        timesteps(Schedule("linear"), 10, "karras")
