"""The patch discriminator of the VQ auto-encoder (Isola et al. 2017, as in CodeFormer's first stage)."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config


@dataclass(frozen=True)
class DiscriminatorConfig(Config):
    """`channels` of the convolutions, all but the last with stride 2, after folding `patch` x `patch` pixels.

    `norm`: batch normalisation between the first and the last, as published.
    """

    patch: int = 1
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    norm: bool = True

    @classmethod
    def presets(cls) -> dict[str, DiscriminatorConfig]:
        """ "base", as published, and "tiny"."""
        return {"base": cls(), "tiny": cls(patch=2, channels=(64, 96, 128), norm=False)}


class PatchDiscriminator(nn.Module):
    """Frames [B, 3, H, W] in -1..1 -> its hidden maps, and last the score of each patch [B, 1, h, w]; real is above."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        width = 3 * config.patch**2
        self.fold = nn.PixelUnshuffle(config.patch)
        self.layers = nn.ModuleList()
        for n, channels in enumerate(config.channels):
            norm = config.norm and n > 0
            stride = 1 if n == len(config.channels) - 1 else 2
            layer: list[nn.Module] = [nn.Conv2d(width, channels, 4, stride, 1, bias=not norm)]
            self.layers.append(nn.Sequential(*layer, *([nn.BatchNorm2d(channels)] if norm else [])))
            width = channels
        self.score = nn.Conv2d(width, 1, 4, padding=1)

    def forward(self, frames: Tensor) -> list[Tensor]:
        h, maps = self.fold(frames), []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.2)
            maps.append(h)
        return [*maps, self.score(h)]
