"""Guidance: the two models at scale 1 and 0, a straight line through them, one call as good as two."""

import pytest
import torch
from torch import Tensor

from talkface_core.diffusion.guidance import guided, guided_batch, paired
from talkface_core.diffusion.sampling import clipped, denoiser, noise, sample_ddim
from talkface_core.diffusion.schedules import Schedule, timesteps
from talkface_core.errors import InputError

SCHEDULE = Schedule("linear", 1000, zero_terminal_snr=True)
X_T = noise((3, 2, 4, 4), 0)
CONDITION, NONE = noise((3, 5), 1), torch.zeros(5)
WEIGHT = noise((5, 2 * 4 * 4), 2)


def model(condition: Tensor):
    """A network without weights whose clean image depends on x_t, the time and the condition, sample by sample."""

    def net(x: Tensor, t: Tensor) -> Tensor:
        shift = (condition @ WEIGHT).reshape(x.shape)
        return torch.tanh(0.5 * x + shift) * (1 + t.reshape(-1, 1, 1, 1) / 1000)

    return denoiser(net, "x0", SCHEDULE)


WITH, WITHOUT, BOTH = model(CONDITION), model(NONE.expand(3, 5)), model(paired(CONDITION, NONE))


def assert_same(actual: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    for a, b in zip(actual, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("t", [999, 400, 0])
def test_scale_one_is_conditional_and_zero_is_not(t):
    assert guided(WITH, WITHOUT, 1) is WITH
    assert guided(WITH, WITHOUT, 0) is WITHOUT
    assert_same(guided_batch(BOTH, 1)(X_T, t), WITH(X_T, t))
    assert_same(guided_batch(BOTH, 0)(X_T, t), WITHOUT(X_T, t))


@pytest.mark.parametrize("scale", [0, 0.4, 1, 3.0, 7.5])
@pytest.mark.parametrize("t", [999, 400, 0])
def test_one_call_is_as_good_as_two(scale, t):
    assert_same(guided_batch(BOTH, scale)(X_T, t), guided(WITH, WITHOUT, scale)(X_T, t))


@pytest.mark.parametrize("scale", [0.4, 3.0])
def test_it_goes_past_the_condition_along_a_straight_line(scale):
    t = 400
    x0, eps = guided(WITH, WITHOUT, scale)(X_T, t)
    torch.testing.assert_close(x0, (1 - scale) * WITHOUT(X_T, t)[0] + scale * WITH(X_T, t)[0], rtol=1e-4, atol=1e-5)
    alpha, sigma = SCHEDULE.alpha_sigma(t)
    torch.testing.assert_close(alpha * x0 + sigma * eps, X_T, rtol=1e-4, atol=1e-4)


def test_a_guided_model_samples_and_stays_in_range_where_that_is_asked():
    ts = timesteps(SCHEDULE, 5, "trailing")
    free = sample_ddim(guided(WITH, WITHOUT, 5.0), X_T, SCHEDULE, ts)
    assert free.abs().max() > 1
    bound = sample_ddim(clipped(guided(WITH, WITHOUT, 5.0), SCHEDULE, 1.0), X_T, SCHEDULE, ts)
    assert bound.abs().max() <= 1
    assert (bound - sample_ddim(WITH, X_T, SCHEDULE, ts)).abs().mean() > 1e-3


@pytest.mark.parametrize("none", [NONE, NONE[None], NONE.expand(3, 5)])
def test_conditions_are_paired_sample_by_sample(none):
    pairs = paired(CONDITION, none.double())
    assert pairs.dtype == CONDITION.dtype
    assert torch.equal(pairs, torch.cat([CONDITION, torch.zeros(3, 5)]))


@pytest.mark.parametrize("scale", [-1, float("nan"), float("inf")])
def test_scales_that_mean_nothing_are_refused(scale):
    with pytest.raises(InputError, match="guidance scale"):
        guided(WITH, WITHOUT, scale)
    with pytest.raises(InputError, match="guidance scale"):
        guided_batch(BOTH, scale)
