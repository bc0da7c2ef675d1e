"""Noise schedules and the choice of time steps.

Sources: linear, Ho et al. 2020 (DDPM), section 4; cosine, Nichol & Dhariwal 2021, eq. 17; scaled linear, Rombach et al.
2022 (LDM); zero terminal SNR and the two spacings, Lin et al. 2023 ("Common diffusion noise schedules and sample steps
are flawed"), algorithm 1 and table 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import overload

import torch
from torch import Tensor

from ..config import Config
from ..errors import InputError

MAX_BETA = 0.999
MAX_STEPS = 100_000
CLEAN = -1


def _linear_betas(steps: int) -> Tensor:
    """DDPM's 1e-4 to 0.02 at 1000 steps; other lengths keep the same total noise."""
    scale = 1000 / steps
    return torch.linspace(1e-4 * scale, 0.02 * scale, steps, dtype=torch.float64)


def _scaled_linear_betas(steps: int) -> Tensor:
    """LDM's 0.0015 to 0.0195 at 1000 steps, linear in the square root."""
    scale = 1000 / steps
    return torch.linspace(math.sqrt(0.0015 * scale), math.sqrt(0.0195 * scale), steps, dtype=torch.float64) ** 2


def _cosine_betas(steps: int) -> Tensor:
    """Squared cosine with offset s = 0.008."""
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    bar = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    return 1 - bar[1:] / bar[:-1]


_BETAS: dict[str, Callable[[int], Tensor]] = {
    "linear": _linear_betas,
    "cosine": _cosine_betas,
    "scaled_linear": _scaled_linear_betas,
}
SCHEDULES = tuple(_BETAS)
SPACINGS = ("trailing", "leading")


def _zero_terminal(alphas_cumprod: Tensor) -> Tensor:
    """Shift and scale sqrt(abar) so that the first value stays and the last is exactly 0 (Lin et al., algorithm 1)."""
    root = alphas_cumprod.sqrt()
    return ((root - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2


@dataclass(frozen=True)
class Schedule(Config):
    """A variance-preserving schedule: x_t = alpha_t x_0 + sigma_t eps, with alpha^2 + sigma^2 = 1.

    `name` is one of SCHEDULES, `steps` the number T of training steps, t = 0 .. T-1 (0 is nearly clean). Two schedules
    are equal when those settings are. `alphas_cumprod` is a float64 tensor [T] on the CPU, falling strictly.
    Raises InputError for an unknown name, or other than 2 to MAX_STEPS steps.
    """

    name: str = "linear"
    steps: int = 1000
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise InputError(f"unknown noise schedule {self.name!r}: choose one of {', '.join(SCHEDULES)}")
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or not 2 <= self.steps <= MAX_STEPS:
            raise InputError(f"a noise schedule needs a whole number of 2 to {MAX_STEPS} steps, not {self.steps!r}")
        if not isinstance(self.zero_terminal_snr, bool):
            raise InputError(f"zero_terminal_snr must be true or false, not {self.zero_terminal_snr!r}")

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        bar = torch.cumprod(1 - _BETAS[self.name](self.steps).clamp(max=MAX_BETA), dim=0)
        return _zero_terminal(bar) if self.zero_terminal_snr else bar

    @cached_property
    def _table(self) -> Tensor:
        """[T + 1, 2] alpha and sigma; the clean state stands last, where index -1 finds it."""
        bar = torch.cat([self.alphas_cumprod, torch.ones(1, dtype=torch.float64)])
        return torch.stack([bar.sqrt(), (1 - bar).sqrt()], dim=1)

    @overload
    def alpha_sigma(self, t: int) -> tuple[float, float]: ...
    @overload
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]: ...
    def alpha_sigma(self, t: int | Tensor) -> tuple[float, float] | tuple[Tensor, Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t); t = -1 is the clean image, (1, 0).

        An int gives two floats; an integer tensor gives two float32 tensors of its shape on its device. The values are
        looked at, so a tensor elsewhere than on the CPU makes the host wait: look levels up where steps are drawn.
        Raises InputError outside -1 .. T-1.
        """
        if isinstance(t, Tensor):
            index = t.detach().cpu()
            if index.is_floating_point() or ((index < CLEAN) | (index >= self.steps)).any():
                raise InputError(f"time steps are whole numbers from -1 to {self.steps - 1}, not {index.tolist()}")
            alpha, sigma = self._table[index.long()].float().to(t.device).unbind(-1)
            return alpha, sigma
        if not CLEAN <= t < self.steps:
            raise InputError(f"time steps run from -1 (clean) to {self.steps - 1}, not {t}")
        alpha, sigma = self._table[t].tolist()
        return alpha, sigma

    def half_log_snr(self, t: int) -> float:
        """lambda_t = log(alpha_t / sigma_t): -inf where alpha is 0, +inf for the clean image."""
        alpha, sigma = self.alpha_sigma(t)
        if alpha == 0:
            return -math.inf
        return math.inf if sigma == 0 else math.log(alpha / sigma)


def timesteps(schedule: Schedule, n: int, spacing: str = "trailing") -> list[int]:
    """`n` different time steps, falling, evenly spread over the schedule (Lin et al., table 2).

    "trailing" begins at T-1, so that sampling starts from pure noise; "leading" ends at 0, as DDIM and DiffAE do.
    Raises InputError unless 1 <= n <= T, or for an unknown spacing.
    """
    total = schedule.steps
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= total:
        raise InputError(f"cannot take {n} sampling steps from a schedule of {total}: choose 1 to {total}")
    if spacing == "trailing":
        return [round(Fraction(total * i, n)) - 1 for i in range(n, 0, -1)]
    if spacing == "leading":
        return [total * i // n for i in range(n - 1, -1, -1)]
    raise InputError(f"unknown spacing {spacing!r}: choose one of {', '.join(SPACINGS)}")
