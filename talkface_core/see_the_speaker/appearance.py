"""The identity encoder: a picture as a volume of features that motion can turn and bend.

Source: See the Speaker's identity encoder; the appearance feature extractor of LivePortrait (Guo et al. 2024, section
3.1), which is face-vid2vid's (Wang et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from .volumes import ConvNorm, VolumeBlock


@dataclass(frozen=True)
class AppearanceConfig(Config):
    """channels: of the first maps, doubled at each of `halvings` up to `most`; volume, depth: channels and layers of
    the volume; blocks: in it; kernel_depth: of their kernels; fold: pixels of a side that are folded into channels
    first; skip: the maps at half the picture's side are kept."""

    channels: int = 64
    halvings: int = 2
    most: int = 512
    volume: int = 32
    depth: int = 16
    blocks: int = 6
    kernel_depth: int = 3
    fold: int = 1
    skip: bool = False

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "channels", "most", "volume", "depth")
        self.check_range(1, 8, "halvings")
        self.check_range(0, 32, "blocks")
        self.check_range(1, 2, "fold")
        if self.kernel_depth not in (1, 3):
            raise InputError(f"kernels {self.kernel_depth} deep; give 1 or 3")

    @property
    def shrink(self) -> int:
        """How many times as large a picture is as its volume."""
        return self.fold * 2**self.halvings

    @property
    def kept(self) -> int:
        """Channels of the maps that are kept."""
        return self.width(2 - self.fold) if self.skip else 0

    def width(self, halvings: int) -> int:
        """Channels of the maps after so many halvings."""
        return min(self.most, self.channels * 2**halvings)


class AppearanceExtractor(nn.Module):
    """Pictures [B,3,S,S] in 0..1 -> volumes [B,C,D,S/4,S/4] (of two halvings)."""

    def __init__(self, config: AppearanceConfig, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__()
        self.config, ops = config, operations
        self.first = ConvNorm(3 * config.fold**2, config.channels, norm=norm, operations=ops)
        self.down = nn.ModuleList(
            ConvNorm(config.width(n), config.width(n + 1), halve=True, norm=norm, operations=ops)
            for n in range(config.halvings)
        )
        self.second = ops.Conv2d(config.width(config.halvings), config.volume * config.depth, 1)
        self.blocks = nn.Sequential(
            *(VolumeBlock(config.volume, config.kernel_depth, norm, ops) for _ in range(config.blocks))
        )

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """The volume, and the maps [B,C,S/2,S/2] that are kept, if any are."""
        config, maps = self.config, [self.first(F.pixel_unshuffle(pictures, self.config.fold))]
        for down in self.down:
            maps.append(down(maps[-1]))
        volume = self.second(maps[-1]).unflatten(1, (config.volume, config.depth))
        return self.blocks(volume), maps[2 - config.fold] if config.skip else None
