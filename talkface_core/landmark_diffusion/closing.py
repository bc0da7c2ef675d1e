"""Lips that shut where p, b or m is heard.

Source: ours. A viewer sees first that lips stay open at p, b and m, and a network that is not sure of one opens them a
little, the mean of what it holds for possible. Its acoustic model tells how likely the sound is one of them; by that
the lips are brought together: the upper and the lower half of each ring of lip points towards each other, the more the
farther from the corners, and the jaw along a little. What is nearly shut is shut altogether.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..config import Config
from ..datasets.labels import VISEMES
from ..device import to_device
from .landmarks import LandmarkSet, pick

PRESSED = VISEMES.index("PP")
"""The class of p, b and m among the acoustic model's visemes."""

UPPER = 0.35
"""Share of the way that the upper lip goes; the lower one, which the jaw carries, goes the rest."""

JAW = 0.3
"""How far the chin goes along, by the lower lip's way."""

_TINY = 1e-6


@dataclass(frozen=True)
class ClosingConfig(Config):
    """How much of the gap between the lips goes: `most` at best, half of that at a probability `at` of p, b or m, in a
    logistic curve whose slope is one over four times `width`; `seal`: of what then remains, so much more, in shares of
    the crop."""

    most: float = 0.0
    at: float = 0.2
    width: float = 0.1
    seal: float = 0.002

    def __post_init__(self) -> None:
        self.check_range(0, 1, "most", "at")
        self.check_range(1e-3, 10, "width")
        self.check_range(0, 0.1, "seal")


def close_lips(content: Tensor, pressed: Tensor, known: LandmarkSet, settings: ClosingConfig) -> Tensor:
    """Jaw and lips [...,T,C,2] in the order of `known.content` -> the same with lips closed, float32.

    pressed [...,T]: the probability of p, b or m. Each frame depends on itself alone.
    """
    content, pressed = content.float(), pressed.float()
    upper, lower = (pick(content, places) for places in _inner(known))
    gap = lower - upper
    wide = gap.norm(dim=-1).mean(-1)
    left = 1 - settings.most * torch.sigmoid((pressed - settings.at) / settings.width)
    weight = 1 - (left * wide - settings.seal).clamp_min(0) / wide.clamp_min(_TINY)
    shares = to_device(_shares(known), content.device)
    return content + weight[..., None, None] * torch.einsum("ck,...kx->...cx", shares, gap)


def _inner(known: LandmarkSet) -> tuple[list[int], list[int]]:
    """Places in the content of the inner lips' points between the corners, above and below, those that face each other
    in one order."""
    first = len(known.jaw) + known.outer
    count = (len(known.lips) - known.outer) // 2 - 1
    return [first + k for k in range(1, count + 1)], [first + 2 * count + 2 - k for k in range(1, count + 1)]


@lru_cache(maxsize=4)
def _shares(known: LandmarkSet) -> Tensor:
    """[C,K]: how far each point goes along the inner lips' gaps, from above to below, for the lips to meet."""
    inner = len(known.lips) - known.outer
    count = inner // 2 - 1
    shares = torch.zeros(len(known.content), count)
    for first, ring in ((len(known.jaw), known.outer), (len(known.jaw) + known.outer, inner)):
        half = ring // 2
        for k in range(1, half):
            # A point of the outer ring goes as the inner lips do above or below it, whose corners have no gap.
            place = k / half * (count + 1)
            near = torch.tensor([max(1 - abs(place - gap), 0.0) for gap in range(1, count + 1)])
            shares[first + k] = UPPER * near
            shares[first + ring - k] = (UPPER - 1) * near
    for k in range(len(known.jaw)):
        shares[k] = (UPPER - 1) * JAW * math.sin(math.pi * (k + 1) / (len(known.jaw) + 1)) / count
    return shares
