"""Wav2Lip's visual quality discriminator (Prajwal et al. 2020, section 3.4; sizes of its public code).

It sees the lower half of one crop at a time: it judges pictures, not motion. No normalisation, leaky ReLUs. `base` has
the published 14.1M parameters.
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
