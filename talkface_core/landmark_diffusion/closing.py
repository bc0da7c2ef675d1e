"""Lips that shut where p, b or m is heard, and lips that were read open where they are shut.

Source: ours. A viewer sees first that lips stay open at p, b and m, and a network that is not sure of one opens them a
little, the mean of what it holds for possible. Its acoustic model tells how likely the sound is one of them; by that
the lips are brought together: the upper and the lower half of each ring of lip points towards each other, the more the
farther from the corners, and the jaw along a little. What is nearly shut is shut altogether.

A face net reads shut lips of some people, those with beards say, a little apart. A completion knows shut lips as lips
without a gap: it is shown its references as if they were, and what it says is added to the mouth as it was read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..acoustic.closing import PRESSED_AT, PRESSED_WIDTH
from ..config import Config
from ..device import to_device
from .landmarks import LandmarkSet, pick

UPPER = 0.35
"""Share of the way that the upper lip goes; the lower one, which the jaw carries, goes the rest."""

JAW = 0.3
"""How far the chin goes along, by the lower lip's way."""

_TINY = 1e-6

_MISREAD = 0.03
"""Largest gap, in shares of the crop, that shut lips are taken to be read with: 0.025 was seen."""

_MISREAD_ALONE = 0.01
"""The same where the references show no motion: then nothing tells it from lips that are a little open."""

_MOVES = 0.01
"""Difference of openings, in shares of the crop, from which on references show a mouth that moves."""


@dataclass(frozen=True)
class ClosingConfig(Config):
    """How much of the gap between the lips goes: `most` at best, half of that at a probability `at` of p, b or m, in a
    logistic curve whose slope is one over four times `width`; `seal`: of what then remains, so much more, in shares of
    the crop."""

    most: float = 0.0
    at: float = PRESSED_AT
    width: float = PRESSED_WIDTH
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
    gap, wide = _gaps(content, known)
    left = 1 - settings.most * torch.sigmoid((pressed - settings.at) / settings.width)
    weight = 1 - (left * wide - settings.seal).clamp_min(0) / wide.clamp_min(_TINY)
    return _towards(content, gap, weight, known)


def shut_references(references: Tensor, known: LandmarkSet) -> Tensor:
    """References [N,P,2] whose least open one has its lips together, the others as much less open; float32."""
    references = references.float()
    opening = known.opening(references)
    least = opening.amin()
    misread = least.clamp_max(_MISREAD if opening.amax() - least > _MOVES else _MISREAD_ALONE)
    content = pick(references, known.content)
    gap, wide = _gaps(content, known)
    told = wide.clamp_min(_TINY)
    shut = _towards(content, gap, 1 - (told - misread).clamp_min(0) / told, known)
    mixed = references.clone()
    mixed[:, list(known.content)] = shut
    return mixed


def uncrossed(content: Tensor, known: LandmarkSet) -> Tensor:
    """Jaw and lips [...,T,C,2] of upright faces; lips meet where the lower one lay above the upper. float32."""
    content = content.float()
    gap, _ = _gaps(content, known)
    return _towards(content, gap, (gap[..., 1].mean(-1) < 0).float(), known)


def _gaps(content: Tensor, known: LandmarkSet) -> tuple[Tensor, Tensor]:
    """From the upper to the lower inner lip [...,K,2] in jaw and lips [...,C,2], and the mean distance [...]."""
    upper, lower = (pick(content, places) for places in _inner(known))
    gap = lower - upper
    return gap, gap.norm(dim=-1).mean(-1)


def _towards(content: Tensor, gap: Tensor, weight: Tensor, known: LandmarkSet) -> Tensor:
    """Lips that go a share [...] of the way towards each other."""
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
