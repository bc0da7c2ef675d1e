"""The discriminators that train LaDTalk's two networks: one sees the mouths of Wav2Lip, one the SOVQAE's patches.

Quality: Wav2Lip's visual quality discriminator (Prajwal et al. 2020, section 3.4; sizes of its public code). It sees
the lower half of one crop at a time: it judges pictures, not motion. No normalisation, leaky ReLUs. `base` has the
published 14.1M parameters. Patch: that of image translation (Isola et al. 2017), as in CodeFormer's first stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config
from ..device import Operations
from ..sync.syncnet import lower_half

COMPONENT = "discriminator"


@dataclass(frozen=True)
class QualityDiscriminatorConfig(Config):
    """size: side of the crops; patch: pixels are unshuffled by so much; channels of the stages; wide: how many stages
    after the first have kernels of five instead of three."""

    size: int = 96
    patch: int = 2
    channels: tuple[int, ...] = (32, 48, 64, 96, 128, 128)
    wide: int = 1

    @classmethod
    def presets(cls) -> dict[str, QualityDiscriminatorConfig]:
        """ "tiny" and "base", the published size."""
        return {"tiny": cls(), "base": cls(patch=1, channels=(32, 64, 128, 256, 512, 512, 512), wide=3)}


class QualityDiscriminator(nn.Module):
    """Crops [B,3,S,S] in 0..1 -> logits of "real" [B]; only the lower half is looked at."""

    def __init__(self, config: QualityDiscriminatorConfig | None = None, *, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or QualityDiscriminatorConfig()
        channels, kernel = config.channels, 7 if config.patch == 1 else 5
        layers = [operations.Conv2d(3 * config.patch**2, channels[0], kernel, 1, kernel // 2)]
        for i in range(1, len(channels) - 1):
            kernel, stride = 5 if i <= config.wide else 3, (1, 2) if i == 1 else 2
            layers.append(operations.Conv2d(channels[i - 1], channels[i], kernel, stride, kernel // 2))
            layers.append(operations.Conv2d(channels[i], channels[i], kernel, 1, kernel // 2))
        layers.append(operations.Conv2d(channels[-2], channels[-1], 3))
        layers.append(operations.Conv2d(channels[-1], channels[-1], 1))
        self.layers = nn.ModuleList(layers)
        self.out = operations.Conv2d(channels[-1], 1, 1)

    def forward(self, crops: Tensor) -> Tensor:
        x = F.pixel_unshuffle(lower_half(crops), self.config.patch)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.01)
        return self.out(x).flatten()


@dataclass(frozen=True)
class PatchDiscriminatorConfig(Config):
    """`channels` of the convolutions, all but the last with stride 2, after folding `patch` x `patch` pixels.

    `norm`: batch normalisation between the first and the last, as published.
    """

    patch: int = 1
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    norm: bool = True

    @classmethod
    def presets(cls) -> dict[str, PatchDiscriminatorConfig]:
        """ "base", as published, and "tiny"."""
        return {"base": cls(), "tiny": cls(patch=2, channels=(64, 96, 128), norm=False)}


class PatchDiscriminator(nn.Module):
    """Frames [B, 3, H, W] in -1..1 -> its hidden maps, and last the score of each patch [B, 1, h, w]; real is above."""

    def __init__(self, config: PatchDiscriminatorConfig) -> None:
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
