"""Faces that were found elsewhere: a track, 68 points per frame, or the FACE_LANDMARKS of newer ComfyUI.

FACE_LANDMARKS is a dict: `frames`, for each frame a list of faces, each a dict with `landmarks_xy` [478,2] in pixels
(the mesh of MediaPipe; from the picture's corner); and `image_size` (height, width).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate
from .choose import FaceChoice
from .detect import Face, overlap
from .mesh_points import VERTICES, WEIGHTS
from .track import POINTS, FaceTrack, fill

MESH = 468
"""Vertices of the face mesh; 10 more for the irises follow where they were asked for."""

_SAME = 0.25  # overlap of boxes from which on two faces, frame to frame, are one person's


def given_track(
    faces: FaceTrack | Mapping[str, Any] | Tensor | NDArray[np.generic],
    fps: Rate,
    size: tuple[int, int] | None = None,
    choice: FaceChoice | None = None,
) -> FaceTrack:
    """A track from a FaceTrack (as it is), FACE_LANDMARKS, or points [T,68,2] or [T,478,2] in pixels (NaN: no face).

    `size` (height, width) of the frames is needed for points. Of several faces in a frame, `choice` takes one in the
    first that has any, and overlap keeps it. Raises InputError for anything else, and when no frame has a face.
    """
    if isinstance(faces, FaceTrack):
        if size is not None and faces.size != tuple(size):
            raise InputError(
                f"the face track was made of frames of {faces.size[1]}x{faces.size[0]} px, these are of "
                f"{size[1]}x{size[0]}; track the face in the frames that are used."
            )
        return faces
    if isinstance(faces, Mapping):
        return _from_landmarks(faces, fps, size, choice or FaceChoice())
    points = np.asarray(faces.detach().cpu() if isinstance(faces, Tensor) else faces, np.float64)
    if points.ndim != 3 or points.shape[2] != 2:
        raise InputError(f"points of shape {list(points.shape)}; give [frames, 68, 2] in pixels.")
    if size is None:
        raise InputError("points without the size of their frames; give size=(height, width).")
    found = np.isfinite(points).all((1, 2))
    shown = torch.from_numpy(to_ibug(np.nan_to_num(points))).float()
    return fill(shown, torch.from_numpy(found), tuple(size), fps)


def to_ibug(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points [...,68,2] as they are; a mesh [...,468 or 478,2] as iBUG's 68 points. Raises InputError for others."""
    count = points.shape[-2]
    if count == POINTS:
        return points
    if count not in (MESH, MESH + 10):
        raise InputError(f"{count} landmarks; a face has 68 (iBUG) or 478 (MediaPipe's mesh).")
    return (points[..., VERTICES, :] * WEIGHTS[..., None]).sum(-2)


def _from_landmarks(found: Mapping[str, Any], fps: Rate, size: tuple[int, int] | None, choice: FaceChoice) -> FaceTrack:
    try:
        frames, own = list(found["frames"]), tuple(int(side) for side in found["image_size"])
        faces = [
            [Face.of(to_ibug(np.asarray(f["landmarks_xy"], np.float64)), _score(f)) for f in row] for row in frames
        ]
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"face landmarks that cannot be read ({type(error).__name__}: {error}); connect the FACE_LANDMARKS output "
            "of a face landmarker, or a face track."
        ) from error
    if size is not None and own != tuple(size):
        raise InputError(
            f"the landmarks were found in pictures of {own[1]}x{own[0]} px, the frames have {size[1]}x{size[0]}; "
            "find them in the frames that are used."
        )
    last: Face | None = None
    points, valid = torch.zeros(len(faces), POINTS, 2), torch.zeros(len(faces), dtype=torch.bool)
    for k, row in enumerate(faces):
        face = choice.of(row) if last is None else max(row, key=lambda f: overlap(f.box, last.box), default=None)
        if face is None or (last is not None and overlap(face.box, last.box) < _SAME):
            continue
        last, points[k], valid[k] = face, face.landmarks, True
    return fill(points, valid, own, fps)


def _score(face: Mapping[str, Any]) -> float:
    score = face.get("score", 1.0)
    return float(np.asarray(score).mean()) if score is not None else 1.0
