"""The upsampler: frames of the diffusion autoencoder at twice their size, with the detail that it leaves out.

Source: ours, of sub-pixel convolutions (Shi et al. 2016). The published autoencoder is trained at 256 px for a million
steps; a small one at 128 px knows where everything is and blurs what is finer, as squared errors do. This network has
seen one person's frames beside what the autoencoder makes of them, and works where a CPU is quick: on pixels folded
into channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.blocks import zero_init
from ..errors import InputError

_CPU_SIDE = 4096  # pixels


@dataclass(frozen=True)
class UpsamplerConfig(Config):
    """image_size: side of the frames that come in; factor: how many times it is larger afterwards. `wide` channels and
    `deep` residual blocks where 4 x 4 pixels are folded, `fine` channels and `shallow` blocks where 2 x 2 are; `last`
    channels where none are: a convolution across the seams of what was folded, without which a grid of dots is the
    cheapest texture."""

    image_size: int = 128
    factor: int = 2
    wide: int = 128
    deep: int = 3
    fine: int = 64
    shallow: int = 1
    last: int = 12

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "wide", "fine", "last")
        self.check_range(0, 100, "deep", "shallow")
        self.check_range(2, 8, "factor")
        self.check_range(4, _CPU_SIDE // self.factor, "image_size")
        if self.image_size % 4:
            raise InputError(f"frames of {self.image_size} px do not fold 4 x 4; give a multiple of 4")

    @classmethod
    def presets(cls) -> dict[str, UpsamplerConfig]:
        """ "tiny" and "base"."""
        return {"tiny": cls(), "base": cls(image_size=256, wide=256, deep=8, fine=128, shallow=2, last=24)}

    @property
    def output_size(self) -> int:
        """Side of the frames that come out, in pixels."""
        return self.factor * self.image_size


class Upsampler(nn.Module):
    """Frames [B, 3, S, S] in -1..1 -> [B, 3, factor S, factor S]: enlarged smoothly, and what was learnt added."""

    def __init__(self, config: UpsamplerConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or UpsamplerConfig()

        def conv(before: int, after: int) -> nn.Module:
            return operations.Conv2d(before, after, 3, padding=1)

        self.coarse_in, self.fine_in = conv(3 * 16, config.wide), conv(3 * 4, config.fine)
        self.deep = nn.Sequential(*[Residual(config.wide, operations) for _ in range(config.deep)])
        self.up = conv(config.wide, 4 * config.fine)
        self.shallow = nn.Sequential(*[Residual(config.fine, operations) for _ in range(config.shallow)])
        self.unfold = conv(config.fine, config.last * (2 * config.factor) ** 2)
        self.out = zero_init(conv(config.last, 3))

    def forward(self, frames: Tensor) -> Tensor:
        h = self.deep(self.coarse_in(F.pixel_unshuffle(frames, 4)))
        h = F.pixel_shuffle(self.up(F.silu(h)), 2) + self.fine_in(F.pixel_unshuffle(frames, 2))
        detail = self.out(F.silu(F.pixel_shuffle(self.unfold(F.silu(self.shallow(h))), 2 * self.config.factor)))
        return F.interpolate(frames, scale_factor=float(self.config.factor), mode="bilinear") + detail


class Residual(nn.Module):
    """x + convolution, SiLU, convolution."""

    def __init__(self, channels: int, operations: Operations = nn) -> None:
        super().__init__()
        self.first, self.second = (operations.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))


UPSAMPLER = Component(
    "upsampler", UpsamplerConfig, lambda config, layers: Upsampler(config, layers), half=True, streams=True
)
