"""The landmarks of one still picture as its head turns: what a `HeadPose` makes of them.

A face's 68 points are a parallel projection of the head (geometry.py). The still's own pose is solved from its points;
with the mean face's depths that gives the head they lie on, which is turned and projected anew. Lips and jaw go along,
with the still's expression.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate
from .geometry import FLIP, GENERIC_FACE, rotation
from .head_pose import LIMIT, HeadPose
from .landmarks import POINTS, STABLE
from .solve_pose import solve

_SEEN = 0.25
"""Smallest share of the face's front that has to be seen: beyond 75 degrees a profile tells nothing of its width."""


def turned_landmarks(
    still: Tensor,
    pose: HeadPose,
    frames: int,
    fps: Rate,
    *,
    size: tuple[int, int] | None = None,
    relative: bool = True,
) -> Tensor:
    """Landmarks float32 [frames,68,2] of a still's [68,2] whose head moves by `pose`, in the still's unit, y down.

    relative: angles are added to the still's own, so that a pose of zeros leaves it as it is; else they are the head's,
    and the first frame may be a jump. The middle of nose and eyes stays where it is, and the face's size what it is.
    size (height, width) of the picture, where the landmarks are its pixels: see `solve`. Raises InputError for other
    shapes, landmarks that are no face's, no frame, and for stills in profile.
    """
    if tuple(still.shape) != (POINTS, 2) or not torch.isfinite(still).all():
        raise InputError(f"a still's landmarks of shape {list(still.shape)}; expected {[POINTS, 2]}, all finite.")
    if frames < 1:
        raise InputError(f"{frames} frames of a turning head; there is at least one.")
    points = still.detach().cpu().double().numpy()
    if np.ptp(points[list(STABLE)], axis=0).min() < 1e-6:
        raise InputError("the points of eyes and nose coincide; the landmarks are not those of a face.")
    own = solve(points, size)
    before = rotation(own[None])[0]
    if np.linalg.det(before[:2, :2]) < _SEEN:
        raise InputError(f"the still's head is turned by {own[0]:.0f} degrees; give a picture that shows its front.")
    angles = pose.at(frames, fps).double().numpy()
    if relative:
        angles = np.clip(own + angles, -LIMIT, LIMIT)

    rigid, face = list(STABLE), GENERIC_FACE - GENERIC_FACE[list(STABLE)].mean(0)
    flat = points * FLIP
    middle = flat[rigid].mean(0)
    flat = flat - middle
    shown = face[rigid] @ before[:2].T
    scale = (flat[rigid] * shown).sum() / (shown**2).sum()
    # Each point's place in the head, at the depth that a mean face has there.
    place = (flat / scale - face[:, 2:] * before[:2, 2]) @ np.linalg.inv(before[:2, :2]).T
    head = np.concatenate([place, face[:, 2:]], 1)
    turned = scale * np.einsum("tij,pj->tpi", rotation(angles)[:, :2], head)
    turned = turned - turned[:, rigid].mean(1, keepdims=True) + middle
    return torch.from_numpy(turned * FLIP).float()
