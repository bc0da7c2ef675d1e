"""Losses of the motion diffusion.

Source: JoyVASA (Cao et al. 2024): the clean motion's error and its velocity's. Ours, against mouths that regress to
their mean: the opening and the lids, which are a few values of many, count once more, frames at p, b and m several
times, and the openings of a batch have to be distributed as the true ones are (see landmark completion's losses).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...acoustic.losses import masked_mean
from ..controls import OPENING, ControlTable
from ..motion import POSE_VALUES
from ..motion_diffusion import STILL


@dataclass(frozen=True)
class MotionWeights:
    """Weights of the terms of `motion_losses`; lips: how many times a value that moves with the mouth counts."""

    points: float = 1.0
    velocity: float = 2.0
    controls: float = 0.5
    opening: float = 1.0
    spread: float = 0.3
    lips: float = 3.0


def motion_losses(
    predicted: Tensor,
    truth: Tensor,
    before: Tensor,
    weight: Tensor,
    known: Tensor,
    std: Tensor,
    controls: ControlTable,
    clear: Tensor,
    level: Tensor,
    weights: MotionWeights,
) -> dict[str, Tensor]:
    """The terms by name, of normalised motion [B,L,V].

    before [B,V]: the last frame before the window; weight [B,L] of frames; known [B,V]; std [V]: what 1 stands for;
    clear [B]: 1 where hardly any noise hides the motion, 0 where all does; level [B]: how much a window's noise level
    counts in all but the mouth, which the sound tells at any level.
    """
    predicted, truth = predicted.float(), truth.float()
    each = known[:, None] * value_weights(std, controls, weights.lips)
    error = (predicted - truth) * each
    each_level = weight * level[:, None]
    terms = {"points": masked_mean((error * (predicted - truth)), each_level)}
    steps = torch.cat([before[:, None], predicted], 1).diff(dim=1) - torch.cat([before[:, None], truth], 1).diff(dim=1)
    terms["velocity"] = masked_mean(steps.square() * each, each_level)
    if not controls.names:
        return terms
    said, real = (controls.values(expression(values * std)) for values in (predicted, truth))
    off = (said - real).square() * controls_known(known, controls)
    terms["controls"] = masked_mean(off, each_level)
    place = controls.place(OPENING)
    terms["opening"] = masked_mean((said - real)[..., place].abs(), weight)
    counted = (weight > 0).float() * clear[:, None]
    # What is not counted stands at 0 in both.
    openings = [(values[..., place] * counted).flatten().sort().values for values in (said, real)]
    terms["spread"] = (openings[0] - openings[1]).abs().mean()
    return terms


def expression(values: Tensor) -> Tensor:
    """Expressions [...,K,3] of motion values [...,3K+7]."""
    return values[..., :-POSE_VALUES].unflatten(-1, (-1, 3))


def value_weights(std: Tensor, controls: ControlTable, lips: float) -> Tensor:
    """How much each value [V] counts, 1 on average: those that move with the mouth up to `lips` times as much as the
    others, those that never move not at all."""
    each = torch.ones_like(std)
    if controls.names:
        along = controls.write[controls.place(OPENING)].abs() / std[:-POSE_VALUES]
        each[:-POSE_VALUES] += (lips - 1) * (along / along.max().clamp_min(1e-9)).clamp(0, 1)
    each = torch.where(std <= STILL, 0.0, each)
    return each / each.mean().clamp_min(1e-9)


def controls_known(known: Tensor, controls: ControlTable) -> Tensor:
    """Which controls [B,1,C] a clip's known values [B,V] tell: those that they are written in."""
    share = (controls.write.abs() @ known[:, :-POSE_VALUES].T) / controls.write.abs().sum(1, keepdim=True).clamp_min(
        1e-9
    )
    return (share.T > 0.7).float()[:, None]


def sum_of(terms: dict[str, Tensor], weights: MotionWeights) -> Tensor:
    """The weighted sum of terms."""
    return torch.stack([getattr(weights, name) * value for name, value in terms.items()]).sum()
