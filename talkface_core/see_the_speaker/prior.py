"""The statistical face prior, and how much of it counts for a sample: SAW.

Source: See the Speaker (Wang et al., arXiv 2510.26819), face prior guidance, and the authors' earlier work (arXiv
2310.03363), which takes the face that all share out of what diffusion has to make. The prior p is the mean latent of
the faces of training. With the residual r_0 = z_0 - beta p, the noisy residual is exactly z_t - sqrt(abar_t) beta p: to
subtract the weighted prior from the latent or, scaled by time, from the noise input is the same. beta is 0 (no prior),
one number for everybody (fixed), or what the sample-adaptive weighted module says of a voice (adaptive).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.blocks import zero_init
from ..errors import InputError

ARMS = ("none", "fixed", "adaptive")
"""How the prior's weight is chosen: the paper's three arms."""

BETA = 1.0
"""beta^0, the weight of the fixed arm, which the adaptive one is held near to."""

_FIRST = 0.95  # of an untrained SAW: a sigmoid never reaches 1


def check_arm(arm: str) -> str:
    """`arm` itself. Raises InputError with the choices if it is none."""
    if arm not in ARMS:
        raise InputError(f"unknown arm {arm[:40]!r} of the face prior: choose one of {', '.join(ARMS)}")
    return arm


class FacePrior(nn.Module):
    """The mean latent [C,L,L] of the training's faces, and residuals to it."""

    latent: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("latent", torch.zeros(shape))

    def weighted(self, beta: Tensor) -> Tensor:
        """beta p [B,C,L,L] for weights [B,C]."""
        return beta[:, :, None, None] * self.latent.to(beta)

    def residual(self, latents: Tensor, beta: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
        """z_t - sqrt(abar_t) beta p of noisy latents [B,C,L,L]; alpha = sqrt(abar_t), one number or [B]; 1: clean."""
        return latents - _fit(alpha) * self.weighted(beta)

    def restored(self, residual: Tensor, beta: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
        """The latents of residuals: undoes `residual`."""
        return residual + _fit(alpha) * self.weighted(beta)


def _fit(alpha: Tensor | float) -> Tensor | float:
    return alpha[:, None, None, None] if isinstance(alpha, Tensor) and alpha.ndim == 1 else alpha


@dataclass(frozen=True)
class SAWConfig(Config):
    """Sizes of a `SampleAdaptiveWeight`. identity: length of the speech encoder's vector; per_channel: one weight for
    each of the latents' channels, else one for all."""

    identity: int = 256
    width: int = 32
    per_channel: bool = True

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "identity", "width")


class SampleAdaptiveWeight(nn.Module):
    """SAW: the voice's identity vector [B,D] -> the prior's weight [B,C] in 0..1.

    It is told nothing but what is known when a portrait is made of a voice.
    """

    def __init__(self, channels: int, config: SAWConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config, self.channels = config or SAWConfig(), channels
        self.enter = operations.Linear(self.config.identity, self.config.width)
        self.out: Any = zero_init(operations.Linear(self.config.width, channels if self.config.per_channel else 1))
        with torch.no_grad():
            self.out.bias.fill_(math.log(_FIRST / (1 - _FIRST)))

    def forward(self, identity: Tensor) -> Tensor:
        beta = self.out(F.silu(self.enter(identity))).sigmoid()
        return beta.expand(-1, self.channels)
