"""Faces as the published SyncNet evaluator wants them, cut out by our own track.

Its pipeline takes the box of a face detector (S3FD), smooths it over 13 frames by the median, and cuts a square of 1.4
times its larger half side to the left, to the right and, from the same distance above, 1.8 times below. Our boxes come
of landmarks: from ear to ear, from the chin to two fifths of the height from brows to chin above the brows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..faces.landmarks import BROWS, CHIN, JAW
from ..faces.track import FaceTrack
from ..sync.evaluator import SIZE
from .footage import Footage, first_frames

_PAD, _GREY, _SMOOTH, _FOREHEAD = 0.4, 110, 13, 0.4


def evaluator_crops(clip: Footage) -> NDArray[np.uint8]:
    """Squares [T,224,224,3] of a clip's face."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    centres, halves = face_boxes(clip.track)
    crops, done = np.empty((len(clip), SIZE, SIZE, 3), np.uint8), 0
    for chunk in first_frames(clip.frames(), len(clip)):
        for frame in chunk:
            half = float(halves[done])
            border = int(half * (1 + 2 * _PAD))
            around = cv2.copyMakeBorder(frame, *(border,) * 4, cv2.BORDER_CONSTANT, value=(_GREY,) * 3)
            x, y = centres[done] + border
            rows = slice(max(int(y - half), 0), int(y + half * (1 + 2 * _PAD)))
            columns = slice(max(int(x - half * (1 + _PAD)), 0), int(x + half * (1 + _PAD)))
            crops[done] = cv2.resize(np.ascontiguousarray(around[rows, columns]), (SIZE, SIZE))
            done += 1
    return crops


def face_boxes(track: FaceTrack) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres [T,2] and larger half sides [T] of the face's boxes, pixels of the frame, smoothed by the median."""
    points = track.landmarks.numpy().astype(np.float64)
    left, right = points[:, JAW, 0].min(1), points[:, JAW, 0].max(1)
    brows, chin = points[:, BROWS, 1].mean(1), points[:, CHIN, 1]
    top = brows - _FOREHEAD * (chin - brows)
    values = np.stack([(left + right) / 2, (top + chin) / 2, np.maximum(right - left, chin - top) / 2], 1)
    reach = _SMOOTH // 2
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    smoothed = np.median(np.lib.stride_tricks.sliding_window_view(padded, _SMOOTH, axis=0), axis=-1)
    return smoothed[:, :2], np.maximum(smoothed[:, 2], 8.0)
