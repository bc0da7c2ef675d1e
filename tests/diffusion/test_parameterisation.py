"""eps, v and x0 there and back, at every level and at both ends."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkface_core.diffusion.parameterisation import KINDS, check_kind, diffuse, eps_from_x0, target, to_x0_eps
from talkface_core.errors import InputError

SEEDS = st.integers(0, 2**32)
ANGLES = st.floats(0.01, math.pi / 2 - 0.01)
STEADY = settings(deadline=None, derandomize=True, max_examples=50)


def pair(seed: int, n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, 2, 3, 3, generator=generator, dtype=torch.float64) for _ in range(2))


@pytest.mark.parametrize("kind", KINDS)
@STEADY
@given(seed=SEEDS, angle=ANGLES)
def test_round_trip(kind, seed, angle):
    alpha, sigma = math.cos(angle), math.sin(angle)
    x0, eps = pair(seed)
    x_t = diffuse(x0, eps, alpha, sigma)
    x0_again, eps_again = to_x0_eps(kind, target(kind, x0, eps, alpha, sigma), x_t, alpha, sigma)
    torch.testing.assert_close(x0_again, x0, rtol=0, atol=1e-9)
    torch.testing.assert_close(eps_again, eps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@STEADY
@given(seed=SEEDS, angle=ANGLES)
def test_any_output_is_consistent_with_x_t(kind, seed, angle):
    """Whatever the network says, alpha x0 + sigma eps is the x_t that it was shown."""
    alpha, sigma = math.cos(angle), math.sin(angle)
    out, x_t = pair(seed)
    torch.testing.assert_close(diffuse(*to_x0_eps(kind, out, x_t, alpha, sigma), alpha, sigma), x_t, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@STEADY
@given(seed=SEEDS, angles=st.lists(ANGLES, min_size=3, max_size=3))
def test_one_level_for_each_sample(kind, seed, angles):
    angles = torch.tensor(angles, dtype=torch.float64)
    alpha, sigma = angles.cos(), angles.sin()
    x0, eps = pair(seed)
    x_t, wanted = diffuse(x0, eps, alpha, sigma), target(kind, x0, eps, alpha, sigma)
    got = to_x0_eps(kind, wanted, x_t, alpha, sigma)
    for k in range(3):
        a, s, row = alpha[k].item(), sigma[k].item(), slice(k, k + 1)
        torch.testing.assert_close(x_t[row], diffuse(x0[row], eps[row], a, s))
        torch.testing.assert_close(wanted[row], target(kind, x0[row], eps[row], a, s))
        for batched, single in zip(got, to_x0_eps(kind, wanted[row], x_t[row], a, s), strict=True):
            torch.testing.assert_close(batched[row], single)


def test_targets_are_what_they_are_called():
    x0, eps = pair(0)
    assert torch.equal(target("eps", x0, eps, 0.6, 0.8), eps)
    assert torch.equal(target("x0", x0, eps, 0.6, 0.8), x0)
    torch.testing.assert_close(target("v", x0, eps, 0.6, 0.8), 0.6 * eps - 0.8 * x0)


def test_v_turns_from_noise_to_minus_image():
    x0, eps = pair(1)
    assert torch.equal(target("v", x0, eps, 1.0, 0.0), eps)
    assert torch.equal(target("v", x0, eps, 0.0, 1.0), -x0)


@pytest.mark.parametrize("kind", ["v", "x0"])
def test_pure_noise_still_yields_the_image(kind):
    x0, eps = pair(2)
    got_x0, got_eps = to_x0_eps(kind, target(kind, x0, eps, 0.0, 1.0), eps, 0.0, 1.0)
    assert torch.equal(got_x0, x0)
    assert torch.equal(got_eps, eps)


@pytest.mark.parametrize("alpha", [0.0, torch.tensor([0.5, 0.0, 0.9])])
def test_eps_at_zero_signal_is_refused(alpha):
    x0, eps = pair(3)
    with pytest.raises(InputError, match=r"alpha = 0.*use v or x0"):
        to_x0_eps("eps", eps, x0, alpha, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_clean_end(kind):
    x0, eps = pair(4)
    got_x0, got_eps = to_x0_eps(kind, target(kind, x0, eps, 1.0, 0.0), x0, 1.0, 0.0)
    assert torch.equal(got_x0, x0)
    assert torch.equal(got_eps, torch.zeros_like(eps) if kind == "x0" else eps)


def test_a_clean_sample_within_a_noisy_batch():
    x0, eps = pair(5)
    alpha, sigma = torch.tensor([1.0, 0.6, 0.0]), torch.tensor([0.0, 0.8, 1.0])
    got = eps_from_x0(x0, diffuse(x0, eps, alpha, sigma), alpha, sigma)
    assert torch.equal(got[0], torch.zeros_like(eps[0]))
    torch.testing.assert_close(got[1:], eps[1:], rtol=0, atol=1e-6)


def test_gradients_pass_a_clean_sample():
    x0, eps = pair(6)
    x0.requires_grad_()
    eps_from_x0(x0, eps, torch.tensor([1.0, 0.6, 0.6]), torch.tensor([0.0, 0.8, 0.8])).sum().backward()
    assert torch.isfinite(x0.grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_levels_take_the_dtype_of_the_image(kind, dtype):
    x0, eps = (x.to(dtype) for x in pair(7))
    alpha, sigma = torch.full((3,), 0.6), torch.full((3,), 0.8)
    x_t = diffuse(x0, eps, alpha, sigma)
    wanted = target(kind, x0, eps, alpha, sigma)
    assert {x.dtype for x in (x_t, wanted, *to_x0_eps(kind, wanted, x_t, alpha, sigma))} == {dtype}


def test_unknown_kind_lists_the_choices():
    x0, eps = pair(8)
    for call in (
        lambda: check_kind("score"),
        lambda: target("score", x0, eps, 0.6, 0.8),
        lambda: to_x0_eps("score", x0, eps, 0.6, 0.8),
    ):
        with pytest.raises(InputError, match=r"'score'.*eps, v, x0"):
            call()
