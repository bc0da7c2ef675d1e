"""The motion of landmark-tied keypoints, computed from landmarks and head poses that are known.

Source: ours. A face's landmarks are a parallel projection of the head (faces/geometry.py). With its rotation known, the
rigid points give scale and translation, the mean head's depths give every point's place in the head's frame, and what
differs there from the person's resting face is expression. So motion means the same for everybody, and what `tiny`'s
motion extractor has to see is known exactly for footage with truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..faces.geometry import GENERIC_FACE
from ..faces.landmarks import JAW, MOUTH, POINTS, STABLE
from .keypoints import IRISES, lip_gap, parted, rotation_matrix, tied_points
from .motion_extractor import Seen

UNIT = 0.07
"""Keypoints' unit of a centimetre: a head of this size fills the crop of `tiny` as most do."""

GAZE = 0.7
"""Centimetres by which an iris moves at a gaze of 1."""

_CALM = 0.25
"""Share of a clip's frames, those with the smallest mouths, that tell how lips and jaw rest."""


@dataclass(frozen=True)
class HeadShape:
    """A person's landmarks at rest in the head's frame [68,3]: x right, y down, z away from us, in keypoints' unit."""

    points: Tensor

    @property
    def canonical(self) -> Tensor:
        """The keypoints [K,3] that are tied to them."""
        return tied_points(self.points)


def mean_shape() -> HeadShape:
    """The studio's mean head, mouth shut; the middle of eyes and nose at the origin."""
    points = torch.tensor(GENERIC_FACE) - torch.tensor(GENERIC_FACE[list(STABLE)].mean(0))
    return HeadShape(UNIT * points * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def head_shape(landmarks: Tensor, pose: Tensor, openings: Tensor | None = None) -> HeadShape:
    """How a person's face rests, of T frames: landmarks [T,68,2] in -1..1 of the crop, pose [T,3] (yaw, pitch, roll in
    degrees). openings [T]: of the mouth; lips and jaw are taken where it is small."""
    _check(landmarks, pose)
    mean, landmarks, pose = mean_shape().points, landmarks.double(), pose.double()
    matrix = rotation_matrix(pose)
    scale, shift = _placement(landmarks, mean, matrix)
    places = _unturned((landmarks - shift) / scale - (mean[:, 2:] * matrix[:, None, 2, :2]), matrix)
    flat = places.median(0).values
    if openings is not None:
        calm = places[openings <= openings.quantile(_CALM)].median(0).values
        for part in (JAW, MOUTH):
            flat[part] = calm[part]
    return HeadShape(torch.cat([flat, mean[:, 2:]], 1))


def landmark_motion(landmarks: Tensor, pose: Tensor, shape: HeadShape, gaze: Tensor | None = None) -> Seen:
    """The motion of T frames, float32, of landmarks and pose as in `head_shape`.

    gaze [T,2,2]: of the right and the left eye to the right of the picture and down, 1: as far as eyes turn.
    """
    _check(landmarks, pose)
    landmarks, matrix = landmarks.double(), rotation_matrix(pose.double())
    scale, shift = _placement(landmarks, shape.points, matrix)
    still = (shape.points @ matrix)[..., :2]
    flat = _unturned((landmarks - shift) / scale - still, matrix)
    expression = tied_points(torch.cat([flat, torch.zeros_like(flat[..., :1])], -1))
    if gaze is not None:
        expression[:, list(IRISES), :2] += GAZE * UNIT * gaze.double()
    translation = torch.cat([shift[:, 0], torch.zeros_like(shift[:, 0, :1])], 1)
    parts = (expression, pose, translation, scale[:, 0])
    canonical = shape.canonical.expand(len(landmarks), -1, -1)
    return Seen(canonical.float(), *(part.float() for part in parts))


def fitted(seen: Seen, landmarks: Tensor) -> Seen:
    """What the extractor saw in pictures [B], put exactly onto their landmarks [B,68,2] in -1..1 of the crop.

    Its rotation is kept, and its expression but for how far the lips are apart, which the landmarks tell; the person's
    canonical keypoints, with shut lips, scale and translation follow. Of a shut mouth that is taken for an open one
    nothing would be drawn when it opens.
    """
    _check(landmarks, seen.rotation)
    # On the CPU: not every accelerator has double precision.
    mean, landmarks, rotation, expression = (
        part.cpu().double() for part in (mean_shape().points, landmarks, seen.rotation, seen.expression)
    )
    matrix = rotation_matrix(rotation)
    scale, shift = _placement(landmarks, mean, matrix)
    places = _unturned((landmarks - shift) / scale - (mean[:, 2:] * matrix[:, None, 2, :2]), matrix)
    middles, rest = tied_points(places), tied_points(mean)
    opening = (lip_gap(middles) - lip_gap(rest)).clamp(min=0)
    expression = parted(expression, opening - lip_gap(expression))
    # What the expression has along z counts in the picture once the head is turned.
    flat = middles - expression[..., :2] - _unturned(expression[..., 2:] * matrix[:, None, 2, :2], matrix)
    translation = torch.cat([shift[:, 0], torch.zeros_like(shift[:, 0, :1])], 1)
    depth = rest[:, 2:].expand(len(places), -1, -1)
    parts = (torch.cat([flat, depth], -1), expression, rotation, translation, scale[:, 0])
    return Seen(*(part.to(seen.canonical) for part in parts))


def _placement(landmarks: Tensor, points: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Scale [T,1,1] and translation [T,1,2] by which the rigid points fall best on the landmarks."""
    rigid = list(STABLE)
    shown = (points[rigid] @ matrix)[..., :2]
    seen = landmarks[:, rigid]
    middle, goal = shown.mean(1, keepdim=True), seen.mean(1, keepdim=True)
    away, there = shown - middle, seen - goal
    scale = (away * there).sum((1, 2), keepdim=True) / away.square().sum((1, 2), keepdim=True)
    return scale, goal - scale * middle


def _unturned(flat: Tensor, matrix: Tensor) -> Tensor:
    """What of the head's own x and y [T,N,2] is seen as `flat` [T,N,2] once it is turned."""
    return flat @ torch.linalg.inv(matrix[:, :2, :2])


def _check(landmarks: Tensor, pose: Tensor) -> None:
    if landmarks.ndim != 3 or landmarks.shape[1:] != (POINTS, 2) or pose.shape != (len(landmarks), 3):
        raise InputError(
            f"landmarks {list(landmarks.shape)} and pose {list(pose.shape)}; expected [T, {POINTS}, 2] and [T, 3]."
        )
