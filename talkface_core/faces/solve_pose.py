"""Head pose from landmarks: the turn of a generic 3-D face that lands on them (perspective-n-point, by OpenCV).

The face is the mean of the studio's people; only points that speech and expression hardly move are used. The camera
is a little over a metre away and looks at the picture's middle: a picture does not say how it was taken, and a nearer
camera changes little.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .geometry import GENERIC_FACE, turns
from .head_pose import HeadPose
from .landmarks import RIGID
from .track import FaceTrack

log = logging.getLogger(__name__)

DISTANCE = 110.0
"""From the camera to the face, cm."""

WIDEST = 1.2
"""Shortest focal length that is taken for possible, by the picture's longer side: a small face is far away, not seen
through a fish-eye."""

TRAINED_YAW = 30.0
"""Degrees of yaw to either side that the models' footage shows."""


def head_pose(track: FaceTrack) -> HeadPose:
    """Yaw, pitch and roll of each frame of a track, at the frames' centres."""
    degrees = np.stack([solve(points, track.size) for points in track.landmarks.double().numpy()])
    return HeadPose.from_frames(torch.from_numpy(degrees).float(), track.fps)


def solve(points: NDArray[np.float64], size: tuple[int, int] | None = None) -> NDArray[np.float64]:
    """Yaw, pitch and roll in degrees of one face's landmarks [68,2] in pixels.

    `size` (height, width) is that of the picture, whose middle the camera looks at; None: it looks at the face. Off the
    middle that makes a difference: a head that shows us its front there is turned towards us.
    """
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    image_points, face = points[list(RIGID)], GENERIC_FACE[list(RIGID)]
    middle = image_points.mean(0) if size is None else np.array([size[1], size[0]]) / 2
    spread = np.square(image_points - image_points.mean(0)).sum() / np.square((face - face.mean(0))[:, :2]).sum()
    least = 0.0 if size is None else WIDEST * max(size)
    focal, turn, shift = max(DISTANCE * np.sqrt(spread), least, 1e-6), np.zeros(3), np.zeros(3)
    for _ in range(3):
        camera = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
        _, turn, shift = cv2.solvePnP(face, image_points - middle, camera, None, flags=cv2.SOLVEPNP_SQPNP)
        # A turned face looks smaller than it is; a longer lens then brings the camera back to its distance.
        focal = max(focal * DISTANCE / max(float(shift[2, 0]), 1.0), least)
    turn, _ = cv2.solvePnPRefineLM(face, image_points - middle, camera, None, turn, shift)
    # OpenCV looks along +z with y down; ours has y up and z towards the camera.
    return turns(np.diag([1.0, -1.0, -1.0]) @ cv2.Rodrigues(turn)[0], 0.0)


def warn_of_yaw(track: FaceTrack, limit: float = TRAINED_YAW, pose: Tensor | None = None) -> str | None:
    """A warning, which is logged too, when a track turns further than `limit` degrees; else None."""
    degrees = head_pose(track).degrees if pose is None else pose
    yaw = degrees[:, 0].abs()
    beyond = int((yaw > limit).sum())
    if not beyond:
        return None
    text = (
        f"the head turns up to {float(yaw.max()):.0f} degrees from the front, in {beyond} of {len(yaw)} frames further "
        f"than the {limit:g} that the model has seen: expect a poorer mouth there, or use another part of the footage."
    )
    log.warning(text)
    return text
