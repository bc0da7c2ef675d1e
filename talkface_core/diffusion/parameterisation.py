"""Parameterisations: a network predicts eps, v or x0, and each gives the clean image and the noise.

All follow from x_t = alpha x_0 + sigma eps with alpha^2 + sigma^2 = 1. Sources: eps, Ho et al. 2020; x0 and v,
Salimans & Ho 2022 ("Progressive distillation"), section 4 and appendix D.
"""

import torch
from torch import Tensor

from ..errors import InputError

KINDS = ("eps", "v", "x0")
Level = float | Tensor


def check_kind(kind: str) -> str:
    """`kind` itself. Raises InputError with the choices if it is not one of KINDS."""
    if kind not in KINDS:
        raise InputError(f"unknown parameterisation {kind!r}: choose one of {', '.join(KINDS)}")
    return kind


def _fit(level: Level, x: Tensor) -> Level:
    """One level for each sample, [B], shaped to broadcast over x [B, ...]."""
    if isinstance(level, Tensor) and level.ndim == 1:
        return level.to(x.device, x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    return level


def diffuse(x0: Tensor, eps: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """x_t = alpha x0 + sigma eps, for x0 and eps [B, ...] and levels as numbers or tensors [B]."""
    return _fit(alpha, x0) * x0 + _fit(sigma, x0) * eps


def target(kind: str, x0: Tensor, eps: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """What the network should have said: eps, x0, or v = alpha eps - sigma x0. Shapes as in `diffuse`."""
    check_kind(kind)
    if kind == "eps":
        return eps
    if kind == "x0":
        return x0
    return _fit(alpha, x0) * eps - _fit(sigma, x0) * x0


def eps_from_x0(x0: Tensor, x_t: Tensor, alpha: Level, sigma: Level) -> Tensor:
    """eps = (x_t - alpha x0) / sigma; 0 where sigma is 0, since a clean image holds no noise to speak of."""
    alpha, sigma = _fit(alpha, x_t), _fit(sigma, x_t)
    scaled = x_t - alpha * x0
    if isinstance(sigma, Tensor):
        return torch.where(sigma > 0, scaled / torch.where(sigma > 0, sigma, 1), 0)
    return scaled / sigma if sigma > 0 else torch.zeros_like(scaled)


def to_x0_eps(kind: str, out: Tensor, x_t: Tensor, alpha: Level, sigma: Level) -> tuple[Tensor, Tensor]:
    """(x0, eps) from a network's output at x_t. All tensors [B, ...]; levels are numbers or tensors [B].

    At alpha = 0 (zero terminal SNR) v and x0 give x0, but eps says nothing about it: InputError.
    """
    check_kind(kind)
    if kind == "v":
        a, s = _fit(alpha, x_t), _fit(sigma, x_t)
        return a * x_t - s * out, s * x_t + a * out
    if kind == "x0":
        return out, eps_from_x0(out, x_t, alpha, sigma)
    if bool((torch.as_tensor(alpha) == 0).any()):
        raise InputError(
            "an eps-predicting network cannot start from zero terminal SNR (alpha = 0): "
            "use v or x0, or a schedule without zero_terminal_snr"
        )
    return (x_t - _fit(sigma, x_t) * out) / _fit(alpha, x_t), out
