"""Losses of the landmark completion.

Source: IP_LAP (Zhong et al. 2023): L1 and the velocity's, 1 to 1. Ours, against mouths that regress to their mean: the
inner lips' gap counts once more, frames of speech with shut lips count several times, and the openings of a batch have
to be distributed as the true ones are (Wasserstein distance: the sorted ones beside each other).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...acoustic.losses import masked_mean
from ..landmarks import LandmarkSet, pick

PERCENT = 100.0
"""Losses are in hundredths of the crop's side."""


@dataclass(frozen=True)
class CompletionWeights:
    """Weights of the terms of `completion_losses`; jaw: of the jaw's points, the lips' have 1; visemes: of the
    acoustic model's, where it is trained along."""

    points: float = 1.0
    jaw: float = 0.5
    velocity: float = 1.0
    gap: float = 1.0
    spread: float = 0.5
    visemes: float = 0.3


def completion_losses(
    predicted: Tensor, truth: Tensor, weight: Tensor, known: LandmarkSet, weights: CompletionWeights
) -> dict[str, Tensor]:
    """The terms by name, of jaw and lips [B,T,C,2]; weight [B,T] of the frames."""
    predicted, truth = PERCENT * predicted.float(), PERCENT * truth.float()
    each = torch.ones(len(known.content), device=predicted.device)
    each[: len(known.jaw)] = weights.jaw
    each = (each / each.mean())[:, None]
    error = (predicted - truth) * each
    both = torch.minimum(weight[:, 1:], weight[:, :-1])
    gaps = [content_gap(points, known) for points in (predicted, truth)]
    gap_error = (gaps[0] - gaps[1]).abs()
    opening = [gap[..., 1].mean(-1).flatten().sort().values for gap in gaps]
    return {
        "points": masked_mean(error.abs(), weight),
        "velocity": masked_mean(error.diff(dim=1).norm(dim=-1), both),
        "gap": masked_mean(gap_error, weight),
        "spread": (opening[0] - opening[1]).abs().mean(),
    }


def sum_of(terms: dict[str, Tensor], weights: CompletionWeights) -> Tensor:
    """The weighted sum of terms."""
    return torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()


def content_gap(content: Tensor, known: LandmarkSet) -> Tensor:
    """From the upper to the lower inner lip: [..., pairs, 2] of jaw and lips [..., C, 2]."""
    upper, lower = ([known.content.index(pair[side]) for pair in known.gaps] for side in (0, 1))
    return pick(content, lower) - pick(content, upper)
