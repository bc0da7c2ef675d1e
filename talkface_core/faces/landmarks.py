"""The 68 landmarks of a face as iBUG 300-W numbers them (Sagonas et al., 2016): which is which, and what they measure.

Right and left are the subject's: the right eye is on the left of the picture. Slices and tuples of indices work on
arrays and tensors alike, along the axis of the points.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError

Points = TypeVar("Points", Tensor, NDArray[np.floating])

POINTS = 68

JAW = slice(0, 17)
"""From the right ear over the chin to the left ear."""
RIGHT_BROW, LEFT_BROW, BROWS = slice(17, 22), slice(22, 27), slice(17, 27)
NOSE_BRIDGE, NOSE_BASE, NOSE = slice(27, 31), slice(31, 36), slice(27, 36)
RIGHT_EYE, LEFT_EYE, EYES = slice(36, 42), slice(42, 48), slice(36, 48)
"""Of each eye: a corner (the left one of the picture), two points of the upper lid, the other corner, two below."""
OUTER_LIPS, INNER_LIPS, MOUTH = slice(48, 60), slice(60, 68), slice(48, 68)
UPPER_LIP = slice(48, 55)
"""The upper lip's outer edge, from corner to corner."""

CHIN, NOSE_ROOT, NOSE_TIP, NOSE_BASE_CENTRE = 8, 27, 30, 33
INNER_BROWS = (21, 22)
OUTER_EYE_CORNERS, EYE_CORNERS = (36, 45), (36, 39, 42, 45)
MOUTH_CORNERS, LIP_CENTRES = (48, 54), (51, 57)
INNER_LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""Points of the upper and the lower lip's inner edge that face each other."""

STABLE = (*range(27, 36), *EYE_CORNERS)
"""Points that no expression moves: the ridge and base of the nose and the corners of the eyes."""

POSE = (*range(27, 36), *range(0, 3), *range(14, 17), *EYE_CORNERS)
"""Points that tell the pose: nose, ends of the jaw, corners of the eyes."""

UPPER_FACE = (*range(17, 27), *POSE)
"""Those that tell the pose, and the brows."""

RIGID = (*range(0, 4), *range(13, 17), *STABLE)
"""Points that head pose is solved from: upper jaw, nose, corners of the eyes."""

MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65),
)
"""Partner of each point when left and right are swapped."""


def mirror(points: Points, width: float) -> Points:
    """Points [...,68,2] as they lie in the picture of `width` that is mirrored left to right, renumbered with it."""
    swapped = points[..., list(MIRROR), :]
    swapped[..., 0] = width - swapped[..., 0]
    return swapped


def inner_lip_gap(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Mean distance of the inner lips' pairs [...] in points [...,68,D], in their unit."""
    upper, lower = zip(*INNER_LIP_PAIRS, strict=True)
    return np.linalg.norm(points[..., list(upper), :] - points[..., list(lower), :], axis=-1).mean(-1)


def face_height(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Distance [...] from the nose's root, between the brows, to the chin in points [...,68,D], in their unit."""
    return np.linalg.norm(points[..., NOSE_ROOT, :] - points[..., CHIN, :], axis=-1)


def mouth_opening(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """The inner lips' gap by the face's height [...] of points [...,68,D]; 0 is shut."""
    return inner_lip_gap(points) / face_height(points)


def eye_distance(points: ArrayLike) -> NDArray[np.float64]:
    """Distance [...] between the centres of the two eyes (six points each) of points [...,68,D], in their unit."""
    array = np.asarray(points, np.float64)
    return np.linalg.norm(array[..., RIGHT_EYE, :].mean(-2) - array[..., LEFT_EYE, :].mean(-2), axis=-1)


def landmark_distance(generated: ArrayLike, truth: ArrayLike, part: slice = MOUTH) -> NDArray[np.float64]:
    """LMD of each frame [T]: mean Euclidean distance of a part of two [T,68,2], by the truth's eye distance.

    Nothing is aligned here: see `geometry.in_head_frame`. Raises InputError for other shapes, or two that differ.
    """
    a, b = np.asarray(generated, np.float64), np.asarray(truth, np.float64)
    if a.shape != b.shape or a.ndim != 3 or a.shape[1] != POINTS:
        raise InputError(f"landmarks of shapes {a.shape} and {b.shape}; LMD needs two of shape [T, 68, 2].")
    return np.linalg.norm(a[:, part] - b[:, part], axis=-1).mean(1) / eye_distance(b)
