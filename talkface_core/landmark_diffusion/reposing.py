"""A face's mouth at rest, moved to where the pose landmarks of other frames say that it lies.

Source: ours. The aligned crop takes out where a face is, its size and its roll; what turning and nodding leave is
nearly affine. So the affine map from a reference's stable points to a frame's, held to the identity where they tell
little, carries the reference's jaw and lips over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .landmarks import LandmarkSet, pick

_RIDGE = 0.06
"""Squared shares of the crop, against a spread of the stable points of about 0.6 across and 0.15 down."""

_SHARP = 0.004
"""Opening, in shares of the crop, that makes a reference count e times less as one at rest."""

_LIKE = 0.01
"""Distance of the stable points, in shares of the crop, that makes it count e times less for a frame's pose."""


def repose(points: Tensor, stable: Tensor, goal: Tensor) -> Tensor:
    """Points [..., P, 2] carried along by the affine map that takes `stable` [..., K, 2] near `goal` [..., K, 2]."""
    centre, there = stable.mean(-2, keepdim=True), goal.mean(-2, keepdim=True)
    own, change = stable - centre, (goal - there) - (stable - centre)
    # Ridge regression of the change on the place, two by two: solved in closed form, which also runs under autocast.
    gram = own.transpose(-1, -2) @ own
    a, b, d = gram[..., 0, 0] + _RIDGE, gram[..., 0, 1], gram[..., 1, 1] + _RIDGE
    determinant = (a * d - b * b)[..., None, None]
    inverse = torch.stack([torch.stack([d, -b], -1), torch.stack([-b, a], -1)], -2) / determinant
    linear = inverse @ (own.transpose(-1, -2) @ change)
    moving = points - centre
    return moving + moving @ linear + there


def rest_mouths(landmarks: Tensor, references: Tensor, known: LandmarkSet) -> Tensor:
    """Jaw and lips [B,T,C,2] at rest in the pose of landmarks [B,T,P,2], as references [B,N,P,2] show them.

    The mean of the references, re-posed, in which those least open and of the most alike pose count. Nothing but the
    stable points of `landmarks` is read. float32.
    """
    with torch.autocast(landmarks.device.type, enabled=False):
        landmarks, references = landmarks.float(), references.float()
        own, goal = pick(references, known.stable)[:, None], pick(landmarks, known.stable)[:, :, None]
        moved = repose(pick(references, known.content)[:, None], own, goal)
        opening = known.opening(references)
        opening = (opening - opening.amin(1, keepdim=True))[:, None]
        away = (own - goal).square().sum(-1).mean(-1).sqrt()
        weight = (-opening / _SHARP - away / _LIKE).softmax(-1)
        return (weight[..., None, None] * moved).sum(2)


def with_sides(points: Tensor, film: Tensor, known: LandmarkSet) -> Tensor:
    """Points [...,P,2] of a mouth that is to be painted into a film, the jaw's sides as far where the film's own
    [...,P,2] lie as `LandmarkSet.sides` says.

    A mouth at rest that was carried to another pose has them some pixels off the cheeks, which remain the film's: what
    is painted up to them would be the background of its references.
    """
    share = points.new_zeros(known.count, 1)
    share[list(known.jaw), 0] = points.new_tensor(known.sides)
    return torch.lerp(points, film.to(points), share)
