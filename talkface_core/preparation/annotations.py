"""The annotations of a clip's frames (its npz), all of them read off the landmarks and the sound.

Mouth and eyes are measured in the head's own frame (faces/geometry.py), as the studio measures its rendered
people: the mean gap of the inner-lip pairs by the height from brows to chin of the face with its mouth shut, and the
gap of the lids by the eye's width. From the studio's landmarks alone both follow its truth with a correlation of 0.999.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..faces.geometry import GENERIC_FACE, in_head_frame
from ..faces.landmarks import CHIN, INNER_BROWS, INNER_LIP_PAIRS, LEFT_EYE, RIGHT_EYE
from ..faces.solve_pose import head_pose
from ..faces.track import FaceTrack

_SHUT = 30  # percentile of the lips' gap up to which the mouth counts as shut


def face_annotations(track: FaceTrack) -> dict[str, NDArray[Any]]:
    """From a track of T frames, in pixels of the clip: landmarks [T,68,2], valid [T], pose [T,3] in degrees,
    mouth_open [T], eye_open [T], eye_open_lr [T,2] and box [T,4] (x0, y0, x1, y1; the landmarks' with the forehead)."""
    points = track.landmarks.numpy()
    pose = head_pose(track).degrees.numpy()
    mouth, eyes = openings(points, pose)
    low, high = points.min(1), points.max(1)
    extent = high - low
    box = np.concatenate([low - extent * [0.06, 0.35], high + extent * 0.06], axis=1)
    return {
        "landmarks": points.astype(np.float32),
        "valid": track.valid.numpy(),
        "pose": pose.astype(np.float32),
        "mouth_open": mouth,
        "eye_open": eyes.mean(1),
        "eye_open_lr": eyes,
        "box": box.astype(np.float32),
    }


def openings(
    points: NDArray[np.floating], pose: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Of the mouth [T], at least 0, and of both eyes [T,2]; landmarks [T,68,2] with y down, pose [T,3] in degrees."""
    face = in_head_frame(points, pose, GENERIC_FACE)
    upper, lower = (list(side) for side in zip(*INNER_LIP_PAIRS, strict=True))
    gap = (face[:, upper, 1] - face[:, lower, 1]).mean(1).clip(min=0)
    tall = face[:, INNER_BROWS, 1].mean(1) - face[:, CHIN, 1]
    shut = gap <= np.percentile(gap, _SHUT)
    eyes = []
    for part in (RIGHT_EYE, LEFT_EYE):
        eye = face[:, part]
        lids = [np.linalg.norm(eye[:, a] - eye[:, b], axis=1) for a, b in ((1, 5), (2, 4))]
        width = np.linalg.norm(eye[:, 0] - eye[:, 3], axis=1)
        eyes.append(np.mean(lids, 0) / np.maximum(width, 1e-6))
    return (gap / max(float(np.median(tall[shut])), 1e-6)).astype(np.float32), np.stack(eyes, 1).astype(np.float32)
