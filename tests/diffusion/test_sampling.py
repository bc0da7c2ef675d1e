"""Samplers on a Gaussian, where the denoiser, the probability-flow ODE and every marginal are known exactly."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.diffusion.parameterisation import KINDS, target
from talkface_core.diffusion.sampling import (
    SAMPLERS,
    denoiser,
    invert_ddim,
    noise,
    sample_ddim,
    sample_dpmpp_2m,
    seeded,
)
from talkface_core.diffusion.schedules import SCHEDULES, Schedule, timesteps

SHAPE = (1, 2, 2)
MU = torch.tensor([0.3, -0.6, 0.0, 0.9], dtype=torch.float64).reshape(SHAPE)
STD = torch.tensor([0.5, 0.2, 1.0, 1.5], dtype=torch.float64).reshape(SHAPE)
FINE = Schedule("linear", 20000)
COSINE = Schedule("cosine")
EVERY = pytest.mark.parametrize(
    "schedule", [Schedule(name, 1000, zero) for name in SCHEDULES for zero in (False, True)]
)
EACH_SAMPLER = pytest.mark.parametrize("name", SAMPLERS)


@dataclass
class Gaussian:
    """Data N(mu, diag(std^2)): a perfect denoiser that also keeps every state it was shown."""

    schedule: Schedule
    mu: Tensor = field(default_factory=lambda: MU)
    std: Tensor = field(default_factory=lambda: STD)
    calls: list[tuple[int, Tensor]] = field(default_factory=list)

    def spread(self, t: int) -> tuple[float, Tensor]:
        """alpha and the standard deviation of x_t."""
        alpha, sigma = self.schedule.alpha_sigma(t)
        return alpha, (alpha**2 * self.std**2 + sigma**2).sqrt()

    def __call__(self, x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        self.calls.append((t, x))
        alpha, std_t = self.spread(t)
        sigma = self.schedule.alpha_sigma(t)[1]
        x0 = self.mu + alpha * (self.std / std_t) ** 2 * (x - alpha * self.mu)
        return x0, (x - alpha * x0) / sigma

    def flow(self, x: Tensor, start: int, end: int) -> Tensor:
        """The probability-flow ODE from one time to another: the standardised state stays as it is."""
        (alpha, std), (alpha_end, std_end) = self.spread(start), self.spread(end)
        return alpha_end * self.mu + std_end * (x - alpha * self.mu) / std


def start(n: int = 5, seed: int = 0) -> Tensor:
    return noise((n, *SHAPE), seed, dtype=torch.float64)


def order(errors: dict[int, float]) -> float:
    """The order of convergence: minus the slope of log error over log steps."""
    return -np.polyfit(np.log(list(errors)), np.log(list(errors.values())), 1)[0]


def even(first: int, last: int, n: int) -> list[int]:
    return [round(t) for t in np.linspace(first, last, n)]


def error(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize(("name", "expected"), [("ddim", 1), ("dpmpp_2m", 2)])
def test_converges_at_its_order(name, expected):
    """Between two fixed times; the jump from the last one to the clean image is the same at every step count."""
    first, last = 19999, 600
    model = Gaussian(FINE)
    exact = model(model.flow(start(), first, last), last)[0]
    errors = {
        n: error(SAMPLERS[name](model, start(), FINE, even(first, last, n + 1)), exact) for n in (60, 120, 240, 480)
    }
    assert order(errors) == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize(
    ("name", "schedule_name", "expected"),
    [("ddim", "linear", 1), ("ddim", "cosine", 1), ("dpmpp_2m", "linear", 2), ("dpmpp_2m", "cosine", 1.75)],
)
def test_converges_at_its_order_from_zero_terminal_snr(name, schedule_name, expected):
    """Where alpha leaves 0 in a straight line (cosine), the steps in lambda behave as 1/k: the error is log(n)/n^2."""
    schedule = Schedule(schedule_name, 20000, zero_terminal_snr=True)
    first, last = 19999, 1500
    model = Gaussian(schedule)
    exact = model(model.flow(start(), first, last), last)[0]
    errors = {
        n: error(SAMPLERS[name](model, start(), schedule, even(first, last, n + 1)), exact) for n in (30, 60, 120, 240)
    }
    assert order(errors) == pytest.approx(expected, abs=0.15)


@EVERY
@EACH_SAMPLER
def test_every_step_of_the_schedule_gives_the_exact_image(name, schedule):
    ts = timesteps(schedule, 1000)
    model = Gaussian(schedule)
    exact = model.flow(start(), ts[0], -1)
    assert error(SAMPLERS[name](model, start(), schedule, ts), exact) < {"ddim": 0.05, "dpmpp_2m": 0.02}[name]


@EVERY
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@EACH_SAMPLER
def test_few_steps_stay_close_to_the_data(name, spacing, schedule):
    """From 1 to 10 steps; the answer lies between the mean of the data and somewhat beyond the exact image."""
    for n in range(1, 11):
        ts = timesteps(schedule, n, spacing)
        model = Gaussian(schedule)
        x_T = MU + STD * start() if spacing == "leading" and n == 1 else start()
        away = SAMPLERS[name](model, x_T, schedule, ts) - MU
        exact = model.flow(x_T, ts[0], -1) - MU
        assert torch.isfinite(away).all()
        assert (away.abs() <= 1.5 * exact.abs() + 1e-6).all()
        assert (away * exact >= -1e-12).all()


@EVERY
@EACH_SAMPLER
def test_one_step_is_the_prediction(name, schedule):
    model = Gaussian(schedule)
    image = SAMPLERS[name](model, start(), schedule, [999])
    torch.testing.assert_close(image, model(start(), 999)[0], rtol=1e-12, atol=1e-12)


@EVERY
def test_two_steps_of_both_samplers_agree(schedule):
    """The first and the last step of DPM-Solver++(2M) are DDIM's."""
    model, ts = Gaussian(schedule), timesteps(schedule, 2)
    ddim, dpm = (sampler(model, start(), schedule, ts) for sampler in (sample_ddim, sample_dpmpp_2m))
    torch.testing.assert_close(ddim, dpm, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [6, 8, 10, 15, 20, 50])
def test_second_order_pays_at_few_steps(n):
    model, ts = Gaussian(COSINE), timesteps(COSINE, n)
    exact = model.flow(start(), 999, -1)
    ddim, dpm = (error(sampler(model, start(), COSINE, ts), exact) for sampler in (sample_ddim, sample_dpmpp_2m))
    assert dpm < 0.7 * ddim


def test_second_step_from_zero_terminal_snr_is_first_order():
    """After lambda = -inf there is no finite history to extrapolate from."""
    schedule = Schedule("linear", zero_terminal_snr=True)
    plain, second = Gaussian(schedule), Gaussian(schedule)
    sample_ddim(plain, start(), schedule, [999, 800, 600, 400, 200])
    sample_dpmpp_2m(second, start(), schedule, [999, 800, 600, 400, 200])
    same = [error(a, b) < 1e-12 for (_, a), (_, b) in zip(plain.calls, second.calls, strict=True)]
    assert same == [True, True, True, False, False]


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_every_eta_keeps_the_marginals(eta):
    """With one known image x_t ~ N(alpha_t x0, sigma_t^2) at all times, for any eta (Song et al., lemma 1)."""
    point, n = torch.full((1, 1, 1), 0.7, dtype=torch.float64), 20000
    model = Gaussian(COSINE, point, torch.zeros_like(point))
    ts = [900, 700, 400, 150, 20]
    alpha, sigma = COSINE.alpha_sigma(ts[0])
    x_T = alpha * 0.7 + sigma * noise((n, 1, 1, 1), 1, dtype=torch.float64)
    image = sample_ddim(model, x_T, COSINE, ts, eta=eta, generator=seeded(2))
    for t, x in model.calls:
        alpha, sigma = COSINE.alpha_sigma(t)
        assert x.mean().item() == pytest.approx(alpha * 0.7, abs=4 * sigma / math.sqrt(n))
        assert x.std().item() == pytest.approx(sigma, rel=4 / math.sqrt(2 * n))
    torch.testing.assert_close(image, point.expand_as(image))


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_fresh_noise_replaces_the_old(eta):
    """What is left of the old noise after a step is sqrt(1 - (fresh / sigma_s)^2) of the whole."""
    point = torch.zeros(1, 1, 1, dtype=torch.float64)
    model = Gaussian(COSINE, point, point)
    sample_ddim(model, noise((20000, 1, 1, 1), 1, dtype=torch.float64), COSINE, [800, 500], eta, seeded(2))
    (_, before), (_, after) = model.calls
    (alpha_t, sigma_t), (alpha_s, sigma_s) = COSINE.alpha_sigma(800), COSINE.alpha_sigma(500)
    posterior = (sigma_s / sigma_t) ** 2 * (1 - (alpha_t / alpha_s) ** 2)
    expected = math.sqrt(1 - eta**2 * posterior / sigma_s**2)
    correlation = torch.corrcoef(torch.stack([before.flatten(), after.flatten()]))[0, 1].item()
    assert correlation == pytest.approx(expected, abs=4 / math.sqrt(20000))


def test_ancestral_sampling_has_the_mean_and_variance_of_the_data():
    model = Gaussian(COSINE)
    n = 4000
    images = sample_ddim(model, start(n), COSINE, timesteps(COSINE, 200), eta=1.0, generator=seeded(5))
    np.testing.assert_allclose(images.mean(0), MU, atol=4 * STD.max().item() / math.sqrt(n))
    np.testing.assert_allclose(images.std(0) / STD, 1, atol=4 / math.sqrt(2 * n) + 0.02)


def test_ancestral_sampling_is_ddpm():
    """eta = 1 over all steps: the posterior mean and variance of Ho et al. 2020, eq. 7, from betas alone."""
    schedule = Schedule("linear", 50)
    model = Gaussian(schedule)
    image = sample_ddim(model, start(), schedule, list(range(49, -1, -1)), eta=1.0, generator=seeded(3))
    generator, x, bar = seeded(3), start(), [*schedule.alphas_cumprod.tolist(), 1.0]
    for t in range(49, -1, -1):
        beta = 1 - bar[t] / bar[t - 1]
        x0 = model(x, t)[0]
        mean = math.sqrt(bar[t - 1]) * beta / (1 - bar[t]) * x0
        mean = mean + math.sqrt(1 - beta) * (1 - bar[t - 1]) / (1 - bar[t]) * x
        x = mean if t == 0 else mean + math.sqrt(beta * (1 - bar[t - 1]) / (1 - bar[t])) * noise(x.shape, generator)
    torch.testing.assert_close(image, x, rtol=0, atol=1e-6)


@EVERY
def test_inversion_finds_the_noise_of_the_ode(schedule):
    """x_T itself, not only the way back."""
    model, image = Gaussian(schedule), MU + STD * start()
    exact = model.flow(image, -1, 999)
    errors = {n: error(invert_ddim(model, image, schedule, timesteps(schedule, n)), exact) for n in (50, 200, 1000)}
    assert errors[1000] < 0.02
    assert errors[1000] < errors[200] / 3 < errors[50] / 6


def test_inversion_converges_at_first_order():
    model, image = Gaussian(FINE), MU + STD * start()
    exact = model.flow(image, -1, 19999)
    errors = {n: error(invert_ddim(model, image, FINE, even(19999, 0, n)), exact) for n in (60, 120, 240, 480)}
    assert order(errors) == pytest.approx(1, abs=0.2)


@EVERY
def test_inversion_then_ddim_returns_the_image(schedule):
    model, image = Gaussian(schedule), MU + STD * start()
    errors = {}
    for n in (50, 200, 1000):
        ts = timesteps(schedule, n)
        errors[n] = error(sample_ddim(model, invert_ddim(model, image, schedule, ts), schedule, ts), image)
    assert errors[1000] < 0.1
    assert order(errors) == pytest.approx(1, abs=0.3)


@EVERY
def test_refined_inversion_returns_the_image_in_ten_steps(schedule):
    model, image, ts = Gaussian(schedule), MU + STD * start(), timesteps(schedule, 10)
    errors = [
        error(sample_ddim(model, invert_ddim(model, image, schedule, ts, refine=k), schedule, ts), image)
        for k in (0, 5, 60)
    ]
    assert errors[1] < errors[0] / 2
    assert errors[2] < 1e-3


def test_inversion_shows_the_clean_image_as_the_first_level():
    model, image = Gaussian(COSINE), start()
    invert_ddim(model, image, COSINE, [999, 500, 100])
    assert [t for t, _ in model.calls] == [0, 100, 500]
    assert torch.equal(model.calls[0][1], image)


def test_refinement_looks_where_the_step_arrives():
    model = Gaussian(COSINE)
    invert_ddim(model, start(), COSINE, [500, 100], refine=2)
    assert [t for t, _ in model.calls] == [0, 100, 100, 100, 500, 500]


@pytest.mark.parametrize("kind", KINDS)
@EACH_SAMPLER
def test_what_the_network_predicts_does_not_matter(name, kind):
    """Networks that are right, each in its own terms, give one image; they are shown int64 times, one a sample."""
    model, ts = Gaussian(COSINE), timesteps(COSINE, 10)

    def net(x: Tensor, t: Tensor) -> Tensor:
        assert t.dtype == torch.int64
        assert t.shape == x.shape[:1]
        step = t.unique().item()
        return target(kind, *model(x, step), *COSINE.alpha_sigma(step))

    image = SAMPLERS[name](denoiser(net, kind, COSINE), start(), COSINE, ts)
    torch.testing.assert_close(image, SAMPLERS[name](model, start(), COSINE, ts), rtol=0, atol=1e-9)
