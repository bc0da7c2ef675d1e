"""Classifier-free guidance: away from what the network says without its condition, towards what it says with it.

Source: Ho & Salimans 2022 ("Classifier-free diffusion guidance"), eq. 6, with the scale counted as in latent diffusion:
0 is the unconditional model, 1 the conditional one, above 1 the condition counts for more than the data had it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import InputError
from .sampling import Denoise


def guided(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """A model for the samplers from one that has the condition and one that has not, called one after the other.

    At scale 0 and 1 only the one that counts is called. Clean images that must stay within a range are clipped after
    guidance: `clipped(guided(...), ...)`. Raises InputError for a scale that is negative or not finite.
    """
    scale = _checked(scale)
    if scale in (0.0, 1.0):
        return conditional if scale else unconditional

    def denoise(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
        (x0, eps), (x0_free, eps_free) = conditional(x_t, t), unconditional(x_t, t)
        return torch.lerp(x0_free, x0, scale), torch.lerp(eps_free, eps, scale)

    return denoise


def guided_batch(both: Denoise, scale: float) -> Denoise:
    """The same by one call of twice the batch: `both` takes x_t [2B, ...] and has the conditions of `paired`.

    Raises InputError as `guided` does.
    """
    scale = _checked(scale)

    def denoise(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
        x0, eps = both(torch.cat([x_t, x_t]), t)
        (x0, x0_free), (eps, eps_free) = x0.chunk(2), eps.chunk(2)
        return torch.lerp(x0_free, x0, scale), torch.lerp(eps_free, eps, scale)

    return denoise


def paired(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """The conditions [B, ...] and what stands for none ([B, ...], or one for all [...] or [1, ...]): [2B, ...]."""
    return torch.cat([conditional, unconditional.to(conditional).expand_as(conditional)])


def _checked(scale: float) -> float:
    if not (math.isfinite(scale) and scale >= 0):
        raise InputError(f"guidance scale of {scale}: give 0 (no condition), 1 (as trained) or more, such as 3")
    return float(scale)
