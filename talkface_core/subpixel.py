"""Detail that a small picture does not show, drawn by a network that works on pixels folded into channels.

Source: ours, of sub-pixel convolutions (Shi et al. 2016). A CPU is quick where many channels lie on few places; so most
layers see 4 x 4 pixels as one place, few see 2 x 2, and one convolution the pixels themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from .config import LARGEST, Config
from .device import Operations
from .diffusion.blocks import zero_init

COARSEST = 4
"""Pixels of the input, each way, that the coarsest layers see as one: its sides are multiples of it."""


@dataclass(frozen=True)
class SubpixelConfig(Config):
    """`wide` channels and `deep` residual blocks where 4 x 4 pixels are folded, `fine` channels and `shallow` blocks
    where 2 x 2 are; `last` channels where none are: a convolution across the seams of what was folded, without which a
    grid of dots is the cheapest texture."""

    wide: int = 128
    deep: int = 3
    fine: int = 64
    shallow: int = 1
    last: int = 12

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "wide", "fine", "last")
        self.check_range(0, 100, "deep", "shallow")


class SubpixelNet(nn.Module):
    """Maps [B, C, H, W], sides multiples of 4 -> detail [B, 3, factor H, factor W]; zero before it is trained."""

    def __init__(self, channels: int, factor: int, config: SubpixelConfig, operations: Operations = nn) -> None:
        super().__init__()

        def conv(before: int, after: int) -> nn.Module:
            return operations.Conv2d(before, after, 3, padding=1)

        self.factor = factor
        self.coarse_in, self.fine_in = conv(channels * 16, config.wide), conv(channels * 4, config.fine)
        self.deep = nn.Sequential(*[Residual(config.wide, operations) for _ in range(config.deep)])
        self.up = conv(config.wide, 4 * config.fine)
        self.shallow = nn.Sequential(*[Residual(config.fine, operations) for _ in range(config.shallow)])
        self.unfold = conv(config.fine, config.last * (2 * factor) ** 2)
        self.out = zero_init(conv(config.last, 3))

    def forward(self, maps: Tensor) -> Tensor:
        h = self.deep(self.coarse_in(F.pixel_unshuffle(maps, COARSEST)))
        h = F.pixel_shuffle(self.up(F.silu(h)), 2) + self.fine_in(F.pixel_unshuffle(maps, 2))
        return self.out(F.silu(F.pixel_shuffle(self.unfold(F.silu(self.shallow(h))), 2 * self.factor)))


class Residual(nn.Module):
    """x + convolution, SiLU, convolution."""

    def __init__(self, channels: int, operations: Operations = nn) -> None:
        super().__init__()
        self.first, self.second = (operations.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))
