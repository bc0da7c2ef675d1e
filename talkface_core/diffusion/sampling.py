"""Samplers as short pure functions, and the noise they start from.

A model is any `denoise(x_t, t) -> (x0, eps)`; `denoiser` makes one from a network. Every sampler walks down the given
time steps and ends at the clean image. Sources: DDIM and its inversion, Song et al. 2021, eq. 12 to 16, and Preechakul
et al. 2022 (DiffAE), eq. 8; DPM-Solver++(2M), Lu et al. 2022, algorithm 2.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from torch import Tensor

from ..errors import InputError
from .parameterisation import check_kind, eps_from_x0, to_x0_eps
from .schedules import CLEAN, Schedule

Denoise = Callable[[Tensor, int], tuple[Tensor, Tensor]]
Callback = Callable[[int, int, Tensor], None]


def seeded(seed: int | torch.Generator) -> torch.Generator:
    """A CPU generator for a seed; a CPU generator is handed through. Raises InputError for anything else."""
    if isinstance(seed, torch.Generator):
        if seed.device.type != "cpu":
            raise InputError(f"noise is drawn on the CPU so that seeds agree, but the generator lives on {seed.device}")
        return seed
    if isinstance(seed, bool) or not isinstance(seed, Integral) or not -(2**63) <= seed < 2**64:
        raise InputError(f"a seed is a whole number below 2**64, not {seed!r}")
    return torch.Generator("cpu").manual_seed(int(seed))


def noise(
    shape: Sequence[int],
    seed: int | torch.Generator,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise, drawn on the CPU in float32 and then moved, so that every device gets the same."""
    drawn = torch.randn(tuple(shape), generator=seeded(seed), device="cpu", dtype=torch.float32)
    return drawn.to(device=device, dtype=dtype)


def shared_noise(
    shape: Sequence[int],
    seed: int | torch.Generator,
    n: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """One x_T [C, H, W] for all n frames (DAE-Talker, decoding): a read-only view [n, C, H, W]."""
    return noise(shape, seed, device, dtype).expand(n, *shape)


def denoiser(
    net: Callable[[Tensor, Tensor], Tensor],
    kind: str,
    schedule: Schedule,
    clip: float | None = None,
    dtype: torch.dtype | None = None,
) -> Denoise:
    """A model for the samplers from `net(x [B, ...], t int64 [B])`, whose output means `kind`.

    `clip` (pixels: 1.0): see `clipped`.
    `dtype` is what the net is fed; the sampler's own state keeps its precision.
    Raises InputError for an unknown kind, clip <= 0, and eps with a zero-terminal-SNR schedule.
    """
    check_kind(kind)
    if kind == "eps" and schedule.zero_terminal_snr:
        raise InputError(
            "an eps-predicting network does not fit a schedule with zero_terminal_snr: at the last step there is only "
            "noise to predict; use v or x0"
        )

    def denoise(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
        alpha, sigma = schedule.alpha_sigma(t)
        steps = torch.full((x_t.shape[0],), t, dtype=torch.int64, device=x_t.device)
        out = net(x_t if dtype is None else x_t.to(dtype), steps).to(x_t.dtype)
        return to_x0_eps(kind, out, x_t, alpha, sigma)

    return denoise if clip is None else clipped(denoise, schedule, clip)


def clipped(denoise: Denoise, schedule: Schedule, clip: float) -> Denoise:
    """The same model with the clean image held within -clip .. clip, and eps consistent with it.

    Raises InputError for clip <= 0.
    """
    if not clip > 0:
        raise InputError(f"clip is the largest pixel value, above 0 (1.0 for pixels in -1 .. 1), not {clip}")

    def denoise_clipped(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
        x0 = denoise(x_t, t)[0].clamp(-clip, clip)
        return x0, eps_from_x0(x0, x_t, *schedule.alpha_sigma(t))

    return denoise_clipped


def inpainting(denoise: Denoise, known: Tensor, free: Tensor) -> Denoise:
    """The same model, which is shown `known` [B, ...] wherever `free` (bool, broadcast to it) is False.

    The clean picture, at every level of noise, as DiffDub's networks were trained (Liu et al. 2024): inside, sampling
    goes on as ever, outside its state means nothing.
    """

    def denoise_inside(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
        return denoise(torch.where(free, x_t, known.to(x_t.dtype)), t)

    return denoise_inside


def _checked(schedule: Schedule, ts: Sequence[int]) -> list[int]:
    ts = list(ts)
    if not ts or any(a <= b for a, b in pairwise(ts)) or ts[-1] < 0 or ts[0] >= schedule.steps:
        raise InputError(f"sampling steps must fall strictly within {schedule.steps - 1} .. 0, not {ts}")
    return ts


def _state(x: Tensor) -> Tensor:
    """At least float32: the small steps of a sampler drown in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@torch.no_grad()
def sample_ddim(
    denoise: Denoise,
    x_T: Tensor,
    schedule: Schedule,
    ts: Sequence[int],
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
    share_noise: bool = False,
) -> Tensor:
    """x_0 from x_T [B, ...] at time ts[0] (Song et al., eq. 12 and 16).

    eta = 0 follows the probability-flow ODE, eta = 1 is ancestral (DDPM) sampling; between them, anything.
    `share_noise` gives every sample of the batch the same fresh noise at each step, so that frames stay steady.
    Raises InputError for eta outside 0 .. 1, or eta > 0 without a generator (on the CPU).
    """
    if not 0 <= eta <= 1:
        raise InputError(f"eta must lie between 0 (deterministic) and 1 (ancestral), not {eta}")
    if eta > 0 and generator is None:
        raise InputError(f"DDIM with eta = {eta} draws noise at every step: pass a generator")
    ts = _checked(schedule, ts)
    x = _state(x_T)
    for i, (t, s) in enumerate(pairwise([*ts, CLEAN])):
        x0, eps = denoise(x, t)
        if callback is not None:
            callback(i, len(ts), x0)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.alpha_sigma(t), schedule.alpha_sigma(s)
        fresh = eta * sigma_s / sigma_t * math.sqrt(1 - (alpha_t / alpha_s) ** 2)
        x = alpha_s * x0 + math.sqrt(max(sigma_s**2 - fresh**2, 0)) * eps
        if fresh > 0:
            shape = (1, *x.shape[1:]) if share_noise else x.shape
            x = x + fresh * noise(shape, generator, x.device, x.dtype)
    return x


def _uphill(x: Tensor, x0: Tensor, eps: Tensor, low: tuple[float, float], high: tuple[float, float]) -> Tensor:
    """The noisier state from which a DDIM step with this x0 and eps comes down to x; (alpha, sigma) of both ends.

    The step can be solved with eps or with x0. The one with the smaller weight is taken: it never divides by zero, and
    it makes the fixed-point iteration of `invert_ddim` contract (always, where the data are Gaussian).
    """
    (alpha_s, sigma_s), (alpha_t, sigma_t) = low, high
    if alpha_t * alpha_s < sigma_t * sigma_s:
        return sigma_t / sigma_s * (x - alpha_s * x0) + alpha_t * x0
    return alpha_t / alpha_s * (x - sigma_s * eps) + sigma_t * eps


@torch.no_grad()
def invert_ddim(
    denoise: Denoise,
    x_0: Tensor,
    schedule: Schedule,
    ts: Sequence[int],
    callback: Callback | None = None,
    refine: int = 0,
) -> Tensor:
    """x_T at time ts[0], from which deterministic DDIM over the same (falling) ts comes back to x_0 [B, ...].

    The ODE walked from clean to noise with one model call a step, at the state it leaves (DiffAE's stochastic code);
    the clean image, which no network was trained on, is shown as t = 0. The error shrinks with the number of steps.
    `refine` adds that many calls a step, each at the state the step arrives at (fixed-point inversion, Pan et al. 2023,
    AIDI). The more of them, the closer the way back over the same few steps comes to x_0; plain inversion needs
    hundreds of steps for that.
    """
    ts = _checked(schedule, ts)
    x = _state(x_0)
    for i, (s, t) in enumerate(pairwise([CLEAN, *reversed(ts)])):
        low, high = schedule.alpha_sigma(s), schedule.alpha_sigma(t)
        x0, eps = denoise(x, max(s, 0))
        x_t = _uphill(x, x0, eps, low, high)
        for _ in range(refine):
            x0, eps = denoise(x_t, t)
            x_t = _uphill(x, x0, eps, low, high)
        if callback is not None:
            callback(i, len(ts), x0)
        x = x_t
    return x


@torch.no_grad()
def sample_dpmpp_2m(
    denoise: Denoise, x_T: Tensor, schedule: Schedule, ts: Sequence[int], callback: Callback | None = None
) -> Tensor:
    """x_0 from x_T [B, ...] at time ts[0] with DPM-Solver++(2M): second order, one model call a step.

    The first step, the last (to the clean image, where lambda = +inf) and the one that follows a start at alpha = 0
    (lambda = -inf) are of first order, which is DDIM.
    """
    ts = _checked(schedule, ts)
    x = x0_before = _state(x_T)
    h_before = math.inf
    for i, (t, s) in enumerate(pairwise([*ts, CLEAN])):
        x0, _ = denoise(x, t)
        if callback is not None:
            callback(i, len(ts), x0)
        h = schedule.half_log_snr(s) - schedule.half_log_snr(t)
        # h_before = inf (the start was at alpha = 0) leaves the history no weight; the last h = inf has no second order
        estimate = x0 + h / (2 * h_before) * (x0 - x0_before) if i > 0 and s != CLEAN else x0
        # alpha_s (1 - exp(-h)) written without the exponential, so that it holds at both infinite ends
        (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule.alpha_sigma(t), schedule.alpha_sigma(s)
        ratio = sigma_s / sigma_t
        x = ratio * x + (alpha_s - alpha_t * ratio) * estimate
        x0_before, h_before = x0, h
    return x


SAMPLERS: dict[str, Callable[..., Tensor]] = {"ddim": sample_ddim, "dpmpp_2m": sample_dpmpp_2m}


def get_sampler(name: str) -> Callable[..., Tensor]:
    """The sampler called `name`, to be called (denoise, x_T, schedule, ts, callback=...). Raises InputError."""
    if name not in SAMPLERS:
        raise InputError(f"unknown sampler {name!r}: choose one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]
