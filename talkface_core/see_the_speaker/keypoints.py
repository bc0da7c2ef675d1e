"""Implicit keypoints and how motion moves them, and which landmarks those of `tiny` are tied to.

Source: See the Speaker's holistic motion as LivePortrait has it (Guo et al. 2024, equation 2): x = s (x_c R + e) + t.
Keypoints lie in the space of the feature volume: x to the right of the picture, y down, z away from us, and the sides
of the crop are -1..1. Where expressions turn with the head (ours), x = s (x_c + e) R + t: an open mouth then has the
same numbers in every pose.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..device import to_device
from ..errors import InputError

EULER = ("house", "published")
"""Orders of turning: Ry Rx Rz, as HeadPose and all truth have it, and Rz Ry Rx of the public networks."""

TIED = (
    *((48,), (54,), (51,), (57,), (62,), (66,)),
    *((36,), (39,), (37, 38), (40, 41), (42,), (45,), (43, 44), (46, 47)),
    *((36, 39), (42, 45)),
    *((18, 19, 20), (23, 24, 25), (27,), (30,), (8,)),
)
"""The landmarks (iBUG) whose mean each of `tiny`'s 21 keypoints is: lips, eyes, irises (which rest in the middle of the
eye and move with the gaze), brows, nose, chin."""

IRISES = (14, 15)
"""The irises' places among `TIED`: the subject's right eye's first."""

MIRRORED = (1, 0, 2, 3, 4, 5, 11, 10, 12, 13, 7, 6, 8, 9, 15, 14, 17, 16, 18, 19, 20)
"""Partner of each of `TIED` when left and right are swapped."""


APERTURES = ((0, 1, 4, 5), (6, 7, 8, 9), (10, 11, 12, 13))
"""Of the mouth and of both eyes: two corners, the upper and the lower edge, as places among `TIED`."""

PARTED = ((0, 0.08, 0.20), (1, -0.08, 0.20), (2, 0, -0.16), (3, 0, 0.96), (4, 0, -0.08), (5, 0, 0.92), (20, 0, 0.54))
"""Places among `TIED`, and how far each moves to the right and down while the inner lips part by 1: corners, outer and
inner lips, chin. Measured: the regression on the opening in the training clips of the bundled motion."""

_EDGE = 0.03
"""How soft an aperture's edge is, by half the crop's side."""


def apertures(points: Tensor, side: int) -> Tensor:
    """How far mouth and eyes stand open, as pictures [B,3,side,side] of tied keypoints [B,21,3]: near 1 between the
    lips and between the lids, 0 outside; shut ones are hardly seen."""
    places = (torch.arange(side, device=points.device, dtype=points.dtype) + 0.5) * (2 / side) - 1
    y, x = places[:, None], places[None, :]
    maps = []
    for corners in APERTURES:
        one, other, upper, lower = (points[:, k, :2, None, None] for k in corners)
        middle, axis = (upper + lower) / 2, other - one
        width = axis.square().sum(1).clamp(min=1e-6).sqrt()
        along = ((x - middle[:, 0]) * axis[:, 0] + (y - middle[:, 1]) * axis[:, 1]) / width
        across = ((y - middle[:, 1]) * axis[:, 0] - (x - middle[:, 0]) * axis[:, 1]) / width
        # How far down the lower edge lies below the upper one, across the axis of the corners.
        gap = lower - upper
        height = ((gap[:, 1] * axis[:, 0] - gap[:, 0] * axis[:, 1]) / width).clamp(min=0) / 2
        reach = (1 - (2 * along / width).square()).clamp(min=0).sqrt()  # an ellipse's half height there
        maps.append(((height * reach - across.abs()) / _EDGE).sigmoid() * 2 * (height / _EDGE).tanh() * (reach > 0))
    return torch.stack(maps, 1)


def lip_gap(points: Tensor) -> Tensor:
    """How far the lower inner lip lies below the upper one [...] in tied keypoints or expressions [...,21,3]."""
    upper, lower = APERTURES[0][2:]
    return points[..., lower, 1] - points[..., upper, 1]


def parted(expression: Tensor, by: Tensor) -> Tensor:
    """Expressions [...,21,3] whose inner lips lie `by` [...] further apart, with what moves along."""
    along = torch.zeros(expression.shape[-2:], dtype=expression.dtype)
    for place, *move in PARTED:
        along[place, :2] = torch.tensor(move)
    return expression + by[..., None, None] * to_device(along, expression.device)


def tied_points(landmarks: Tensor) -> Tensor:
    """Landmarks [...,68,D] -> the points [...,21,D] that `tiny`'s keypoints are tied to; irises at rest."""
    return torch.stack([landmarks[..., list(group), :].mean(-2) for group in TIED], -2)


def rotation_matrix(rotation: Tensor, order: str = EULER[0]) -> Tensor:
    """Yaw, pitch, roll [B,3] in degrees (HeadPose's axes) -> matrices [B,3,3] that turn rows: x_c @ R.

    Raises InputError for an order that is not one of `EULER`.
    """
    if order not in EULER:
        raise InputError(f"order of turning {order!r} is unknown; choose one of {', '.join(EULER)}.")
    # HeadPose counts y upwards and z to us: yaw and roll turn the other way round here.
    yaw, pitch, roll = torch.deg2rad(rotation).unbind(-1)
    yaw, roll = -yaw, -roll
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).unflatten(-1, (3, 3))

    about_x = matrix(one, zero, zero, zero, pitch.cos(), -pitch.sin(), zero, pitch.sin(), pitch.cos())
    about_y = matrix(yaw.cos(), zero, yaw.sin(), zero, one, zero, -yaw.sin(), zero, yaw.cos())
    about_z = matrix(roll.cos(), -roll.sin(), zero, roll.sin(), roll.cos(), zero, zero, zero, one)
    turned = about_y @ about_x @ about_z if order == EULER[0] else about_z @ about_y @ about_x
    return turned.mT


def place(
    canonical: Tensor, expression: Tensor, matrix: Tensor, translation: Tensor, scale: Tensor, turns: bool
) -> Tensor:
    """Keypoints x [B,K,3] of canonical ones [B,K,3] in motion: expression [B,K,3], rotation matrices [B,3,3],
    translation [B,3] (its z does not count), scale [B,1]. `turns`: expressions turn with the head."""
    moved = (canonical + expression) @ matrix if turns else canonical @ matrix + expression
    shift = torch.cat([translation[:, :2], torch.zeros_like(translation[:, :1])], 1)
    return scale[:, :, None] * moved + shift[:, None]
