"""Landmarks and crops drawn on frames, for people to look at."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .align import FaceCrop, as_frames, like
from .landmarks import MOUTH
from .rotated_box import RotatedBox
from .track import FaceTrack

Frames = TypeVar("Frames", Tensor, NDArray[np.generic])

DETECTED, INTERPOLATED, LIPS, CROP = (60, 220, 90), (240, 160, 40), (250, 230, 70), (90, 160, 255)
"""Colours of landmarks that were found, of those held from other frames (and of lips that cannot be read), of the lips,
and of the crop's square."""


def draw_track(frames: Frames, track: FaceTrack, crop: FaceCrop | None = None) -> Frames:
    """Copies of frames [T,H,W,3] with the track's landmarks as dots, and the crop's square when it is given."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    # Frames may lie in memory channel by channel, as a decoder of latents leaves them; OpenCV draws on no such array.
    out = np.array(as_frames(frames, track.size, len(track)), order="C")
    unit = 1.0 if out.dtype == np.uint8 else 1 / 255
    corners = None if crop is None else _corners(crop)
    heights = track.heights().tolist()
    for k, picture in enumerate(out):
        radius = max(round(heights[k] / 110), 1)
        found, lips = (DETECTED, LIPS if track.readable[k] else INTERPOLATED) if track.valid[k] else (INTERPOLATED,) * 2
        for number, (x, y) in enumerate(track.landmarks[k].tolist()):
            colour = lips if number >= MOUTH.start else found
            # OpenCV counts from the first pixel's centre.
            at = (round(16 * (x - 0.5)), round(16 * (y - 0.5)))
            cv2.circle(picture, at, radius * 16, [c * unit for c in colour], -1, cv2.LINE_AA, 4)
        if corners is not None:
            line = np.round(16 * (corners[k] - 0.5)).astype(np.int32)
            cv2.polylines(picture, [line], True, [c * unit for c in CROP], radius + 1, cv2.LINE_AA, 4)
    return like(out, frames)


def _corners(crop: FaceCrop) -> NDArray[np.float64]:
    """The corners of each frame's crop in the frame [T,4,2]."""
    corners = []
    for matrix in crop.matrices.double().numpy():
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        centre = np.linalg.solve(matrix[:, :2], crop.size / 2 - matrix[:, 2])
        turn = float(np.arctan2(matrix[1, 0], matrix[0, 0]))
        corners.append(RotatedBox(float(centre[0]), float(centre[1]), crop.size / scale, turn).corners())
    return np.stack(corners)
