"""The head's crop: a square of the picture, wide enough for hair and background, that stands still while a head moves.

Source: ours; LivePortrait cuts likewise (2.3 times the face's box, moved up by an eighth). It is upright and the same
in all frames, so that the head moves in it and the background does not; its place and size follow from the house's
aligned crops (faces/align.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..faces.align import FaceCrop, template
from ..faces.geometry import fit_similarity, transform
from ..faces.landmarks import POINTS, STABLE

RAISED = 0.06
"""How far the crop lies above the aligned face's, by that one's side: hair needs more room than a neck."""


def portrait_crop(landmarks: Tensor, image_size: tuple[int, int], size: int, reach: float) -> FaceCrop:
    """One square for all T frames (1 for a still) of landmarks [T,68,2] in pixels of frames of `image_size` (height,
    width): `size` px, `reach` times as wide as the aligned face's median crop. Cut it with `crop_faces`.

    Raises InputError for landmarks that are none, and a size below 8.
    """
    if landmarks.ndim != 3 or landmarks.shape[1:] != (POINTS, 2) or not len(landmarks):
        raise InputError(f"landmarks of shape {list(landmarks.shape)}; the head's crop needs [frames, {POINTS}, 2].")
    if size < 8:
        raise InputError(f"crop size {size} px; give 8 or more, as the model that works on it was trained with.")
    points = landmarks.detach().cpu().double()
    matrices = fit_similarity(points[:, list(STABLE)], template())
    sides = 1 / matrices[:, :, 0].norm(dim=1)
    middle = torch.linalg.solve(matrices[:, :, :2], 0.5 - matrices[:, :, 2])
    side, centre = sides.median(), middle.median(0).values
    centre[1] -= RAISED * side
    factor = size / (reach * side)
    still = torch.cat([factor * torch.eye(2, dtype=torch.float64), (size / 2 - factor * centre)[:, None]], 1)
    still = still.expand(len(points), 2, 3).contiguous()
    return FaceCrop(still.float(), size, image_size, transform(still, points).float())


def crop_places(points: Tensor, size: int) -> Tensor:
    """Points in pixels of a crop -> -1..1, as keypoints lie in it."""
    return points * (2 / size) - 1
