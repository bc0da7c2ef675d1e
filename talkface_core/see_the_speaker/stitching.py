"""Small nets on keypoints: shoulders that stay where they are, eyes and lips as wide open as asked for.

Source: LivePortrait's stitching and retargeting modules (Guo et al. 2024, section 3.2). Only `base` has them: `tiny`'s
flow leaves shoulders and background alone, and its keypoints' expression says how far lids and lips are open.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError

COMPONENT = "stitching"


@dataclass(frozen=True)
class StitchingConfig(Config):
    """keypoints: K; stitch, lips, eyes: widths of each net's hidden layers."""

    keypoints: int = 21
    stitch: tuple[int, ...] = (128, 128, 64)
    lips: tuple[int, ...] = (128, 128, 64)
    eyes: tuple[int, ...] = (256, 256, 128, 128, 64)

    def __post_init__(self) -> None:
        self.check_range(1, 512, "keypoints")
        self.check_range(1, LARGEST, "stitch", "lips", "eyes")

    @classmethod
    def presets(cls) -> dict[str, StitchingConfig]:
        """ "base", as LivePortrait."""
        return {"base": cls()}


class Stitching(nn.Module):
    """Keypoints [B,K,3] of a source -> how its driven ones are changed."""

    def __init__(self, config: StitchingConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config or StitchingConfig()
        values = 3 * self.config.keypoints
        self.stitch = _layers((2 * values, *self.config.stitch, values + 2), operations)
        self.lips = _layers((values + 2, *self.config.lips, values), operations)
        self.eyes = _layers((values + 3, *self.config.eyes, values), operations)

    @torch.no_grad()
    def stitched(self, source: Tensor, driven: Tensor) -> Tensor:
        """Driven keypoints [B,K,3] so moved that the head fits the shoulders of its source [B,K,3]."""
        said = self.stitch(self._joined(source, driven.flatten(1), 3 * self.config.keypoints))
        moves, shift = said[:, :-2].reshape(driven.shape), said[:, -2:]
        moved = driven + moves
        return torch.cat([moved[..., :2] + shift[:, None], moved[..., 2:]], -1)

    @torch.no_grad()
    def eye_moves(self, source: Tensor, openings: Tensor) -> Tensor:
        """What to add to driven keypoints [B,K,3] for openings [B,3]: height by width of the source's left and right
        eye, and of both as they are wanted."""
        return self.eyes(self._joined(source, openings, 3)).reshape(source.shape)

    @torch.no_grad()
    def lip_moves(self, source: Tensor, openings: Tensor) -> Tensor:
        """What to add to driven keypoints [B,K,3] for openings [B,2]: height by width of the source's lips, and as they
        are wanted."""
        return self.lips(self._joined(source, openings, 2)).reshape(source.shape)

    def _joined(self, source: Tensor, values: Tensor, count: int) -> Tensor:
        points = self.config.keypoints
        if source.shape[1:] != (points, 3) or values.shape != (len(source), count):
            raise InputError(
                f"keypoints of shape {list(source.shape)} with {list(values.shape)}; expected [B, {points}, 3] and "
                f"[B, {count}]."
            )
        return torch.cat([source.flatten(1), values], 1)


def _layers(widths: tuple[int, ...], operations: Operations) -> nn.Sequential:
    layers: list[nn.Module] = []
    for narrow, wide in pairwise(widths):
        layers += [operations.Linear(narrow, wide), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


STITCHING = Component(COMPONENT, StitchingConfig, lambda config, layers: Stitching(config, layers))
