"""The upsampler: frames of the diffusion autoencoder at twice their size, with the detail that it leaves out.

Source: ours. The published autoencoder is trained at 256 px for a million steps; a small one at 128 px knows where
everything is and blurs what is finer, as squared errors do. This network (subpixel.py) has seen one person's frames
beside what the autoencoder makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..components import Component
from ..device import Operations
from ..errors import InputError
from ..subpixel import COARSEST, SubpixelConfig, SubpixelNet

_CPU_SIDE = 4096  # pixels


@dataclass(frozen=True)
class UpsamplerConfig(SubpixelConfig):
    """image_size: side of the frames that come in; factor: how many times it is larger afterwards."""

    image_size: int = 128
    factor: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_range(2, 8, "factor")
        self.check_range(COARSEST, _CPU_SIDE // self.factor, "image_size")
        if self.image_size % COARSEST:
            raise InputError(f"frames of {self.image_size} px do not fold 4 x 4; give a multiple of 4")

    @classmethod
    def presets(cls) -> dict[str, UpsamplerConfig]:
        """ "tiny" and "base"."""
        return {"tiny": cls(), "base": cls(image_size=256, wide=256, deep=8, fine=128, shallow=2, last=24)}

    @property
    def output_size(self) -> int:
        """Side of the frames that come out, in pixels."""
        return self.factor * self.image_size


class Upsampler(SubpixelNet):
    """Frames [B, 3, S, S] in -1..1 -> [B, 3, factor S, factor S]: enlarged smoothly, and what was learnt added."""

    def __init__(self, config: UpsamplerConfig | None = None, operations: Operations = nn) -> None:
        config = config or UpsamplerConfig()
        super().__init__(3, config.factor, config, operations)
        self.config = config

    def forward(self, frames: Tensor) -> Tensor:
        detail = super().forward(frames)
        return F.interpolate(frames, scale_factor=float(self.factor), mode="bilinear") + detail


UPSAMPLER = Component(
    "upsampler", UpsamplerConfig, lambda config, layers: Upsampler(config, layers), half=True, streams=True
)
