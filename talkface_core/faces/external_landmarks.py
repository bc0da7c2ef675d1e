"""Face tracks from external landmarks: a track, 68 points per frame, or the FACE_LANDMARKS of newer ComfyUI.

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
from .face import Face, overlap
from .landmarks import POINTS
from .track import FaceTrack, fill

MESH = 468
"""Vertices of the face mesh; 10 more for the irises follow where they were asked for."""

VERTICES = np.array(
    [
        *((127, 156, 111), (234, 127, 137), (123, 132, 227), (215, 138, 93)),
        *((138, 172, 136), (136, 135, 149), (150, 176, 169), (148, 140, 201)),
        *((175, 148, 377), (377, 369, 421), (400, 428, 430), (364, 378, 418)),
        *((367, 397, 416), (433, 401, 288), (366, 361, 454), (323, 265, 347)),
        *((356, 383, 261), (46, 21, 68), (63, 52, 71), (66, 63, 27)),
        *((66, 107, 108), (107, 55, 151), (336, 9, 417), (296, 336, 257)),
        *((296, 293, 298), (283, 293, 282), (276, 300, 368), (193, 417, 197)),
        *((6, 195, 245), (195, 5, 196), (4, 45, 5), (98, 60, 239)),
        *((99, 241, 2), (2, 125, 97), (328, 354, 2), (327, 290, 459)),
        *((471, 247, 226), (160, 471, 144), (158, 469, 470), (133, 190, 469)),
        *((472, 154, 468), (7, 472, 160), (362, 452, 357), (385, 476, 380)),
        *((387, 474, 475), (474, 467, 446), (474, 339, 477), (381, 477, 473)),
        *((61, 183, 57), (40, 39, 88), (37, 73, 167), (0, 37, 164)),
        *((267, 393, 11), (269, 270, 324), (291, 375, 287), (321, 405, 415)),
        *((314, 405, 313), (17, 18, 14), (84, 181, 83), (91, 181, 191)),
        *((78, 61, 95), (81, 82, 179), (13, 0, 87), (311, 312, 403)),
        *((308, 291, 325), (402, 317, 303), (87, 317, 11), (178, 87, 73)),
    ]
)
"""[68,3]: the vertices of the mesh that each point is a mix of."""

WEIGHTS = np.array(
    [
        *((0.943, 0.375, -0.318), (0.527, 0.266, 0.207), (0.066, 0.566, 0.368), (0.682, 0.073, 0.245)),
        *((0.66, 0.287, 0.053), (0.514, 0.133, 0.353), (0.284, 0.541, 0.175), (0.66, 0.256, 0.084)),
        *((0.151, 0.432, 0.417), (0.672, 0.231, 0.097), (0.95, -0.263, 0.313), (0.558, 0.605, -0.163)),
        *((0.797, 0.272, -0.069), (0.032, 0.596, 0.372), (0.433, 0.372, 0.195), (0.724, 0.722, -0.446)),
        *((0.838, 0.501, -0.339), (0.768, 0.273, -0.041), (0.733, 0.233, 0.034), (0.692, 0.412, -0.104)),
        *((0.637, 0.25, 0.113), (0.627, 0.206, 0.167), (0.741, 0.252, 0.007), (0.578, 0.432, -0.01)),
        *((0.671, 0.347, -0.018), (0.153, 0.591, 0.256), (0.349, 0.583, 0.068), (0.455, 0.442, 0.103)),
        *((0.626, 0.345, 0.029), (0.613, 0.326, 0.061), (0.868, 0.062, 0.07), (0.488, 1.044, -0.532)),
        *((1.019, -0.481, 0.462), (1.276, -0.481, 0.205), (0.879, -0.472, 0.593), (0.458, 1.08, -0.538)),
        *((0.569, -0.059, 0.49), (0.659, 0.453, -0.112), (0.743, 0.2, 0.057), (1.08, -0.254, 0.174)),
        *((0.402, 0.485, 0.113), (0.623, 0.439, -0.062), (0.919, 0.262, -0.181), (0.771, 0.3, -0.071)),
        *((0.684, 0.25, 0.066), (0.587, -0.052, 0.465), (0.366, 0.35, 0.284), (0.53, 0.384, 0.086)),
        *((0.844, 0.002, 0.154), (0.621, 0.508, -0.129), (0.893, 0.025, 0.082), (0.859, 0.018, 0.123)),
        *((0.888, 0.084, 0.028), (0.484, 0.672, -0.156), (0.82, 0.04, 0.14), (0.863, 0.2, -0.063)),
        *((0.549, 0.435, 0.016), (0.913, 0.045, 0.042), (0.532, 0.45, 0.018), (0.895, 0.173, -0.068)),
        *((0.383, 0.456, 0.161), (0.797, 0.132, 0.071), (1.123, -0.141, 0.018), (0.753, 0.174, 0.073)),
        *((0.517, 0.3, 0.183), (0.917, 0.05, 0.033), (0.526, 0.512, -0.038), (0.959, 0.011, 0.03)),
    ]
)
"""[68,3]: how much each vertex counts.

Fitted on the studio's train frames within 35 degrees of yaw, mesh by mediapipe 0.10.21: among the vertices that lie
nearest to a point, the three whose fixed mix (weights sum to 1) comes nearest on half of the frames. On the other half
the mean distance from the truth is 2.5 % of the outer eye corners' distance (3.7 % with the nearest vertex alone).
"""

_BEYOND = 1e6  # pixels
_SAME = 0.25  # overlap of boxes from which on two faces, frame to frame, are one person's


def external_track(
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
    try:
        points = np.asarray(faces.detach().cpu() if isinstance(faces, Tensor) else faces, np.float64)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"points that are no numbers ({error}); give [frames, 68, 2] in pixels.") from error
    if points.ndim != 3 or points.shape[2] != 2:
        raise InputError(f"points of shape {list(points.shape)}; give [frames, 68, 2] in pixels.")
    if size is None:
        raise InputError("points without the size of their frames; give size=(height, width).")
    valid = (np.abs(points) < _BEYOND).all((1, 2))  # false also for NaN
    landmarks = torch.from_numpy(to_ibug(np.nan_to_num(points))).float()
    return fill(landmarks, torch.from_numpy(valid), tuple(size), fps)


def to_ibug(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points [...,68,2] as they are; a mesh [...,468 or 478,2] as iBUG's 68 points. Raises InputError for others."""
    if points.ndim < 2 or points.shape[-1] != 2:
        raise InputError(
            f"landmarks of shape {list(points.shape)}; a face has 68 (iBUG) or 478 (MediaPipe's mesh), x, y."
        )
    count = points.shape[-2]
    if count == POINTS:
        return points
    if count not in (MESH, MESH + 10):
        raise InputError(f"{count} landmarks; a face has 68 (iBUG) or 478 (MediaPipe's mesh).")
    return (points[..., VERTICES, :] * WEIGHTS[..., None]).sum(-2)


def _from_landmarks(
    output: Mapping[str, Any], fps: Rate, size: tuple[int, int] | None, choice: FaceChoice
) -> FaceTrack:
    try:
        frames, own = list(output["frames"]), tuple(int(side) for side in output["image_size"])
        faces = [
            [Face.of(to_ibug(np.asarray(f["landmarks_xy"], np.float64)), _score(f)) for f in row] for row in frames
        ]
        far = any(not (np.abs(face.landmarks.numpy()) < _BEYOND).all() for row in faces for face in row)
        if len(own) != 2 or min(own) < 1 or far:
            raise ValueError(f"image_size {own}, or points that are no pixels")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
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
    choice, last = choice.fitted((own[0], own[1])), None
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
