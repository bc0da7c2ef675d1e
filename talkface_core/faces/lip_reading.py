"""The lips that a frozen landmark net reads off pictures, as a loss: their shape, and how openings are distributed.

A mean of two mouths is cheap in pixels and half open where neither was; its landmarks are not those of the truth. Both
pictures are read by the same net, so what it always sees a little aside does not count. An opening that no sound tells
of makes each single guess too small all the same: so the batch's openings, sorted, are compared as well, which is the
Wasserstein distance of both distributions (Peyré and Cuturi 2019, section 2.6).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import fit_similarity
from .landmarks import INNER_LIP_PAIRS, MOUTH
from .net import LandmarkNet


def reader_crops(face: Tensor, landmarks: Tensor, size: int) -> Tensor:
    """Where a reader's crops lie in pictures of `size` with true landmarks [B,N,2] (pixels): [B,2,3] float32.

    face [N,2]: the same points in shares of the crop, such as the reader's mean face (`LandmarkNet.face`). The matrices
    take the crop's coordinates to the picture's, both -1..1, as `torch.nn.functional.affine_grid` has them.
    """
    # Both in -1..1, so that the similarity holds for any number of pixels.
    back = fit_similarity(2 * face.double().expand_as(landmarks) - 1, 2 * landmarks.double() / size - 1)
    return back.float()


def cut(pictures: Tensor, where: Tensor, size: int) -> Tensor:
    """The crops [B,3,size,size] that lie in pictures [B,3,S,S] where `reader_crops` says, with a gradient to them."""
    grid = F.affine_grid(where, [len(pictures), 3, size, size], align_corners=False)
    return F.grid_sample(pictures, grid, "bilinear", "border", align_corners=False)


def read_landmarks(reader: LandmarkNet, pictures: Tensor, where: Tensor) -> Tensor:
    """Landmarks [B,68,2] in shares of the reader's crop, of pictures [B,3,S,S] in 0..1, with a gradient to them.

    where [B,2,3]: `reader_crops`.
    """
    crops = cut(pictures, where, reader.config.size)
    return reader((2 * crops - 1).contiguous(memory_format=torch.channels_last))["landmarks"].float()


def lip_losses(reader: LandmarkNet, generated: Tensor, real: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """Mean distance of the mouth's points, and of the sorted openings, both in hundredths of the reader's crop.

    generated, real [B,3,S,S] in 0..1, their faces at the same place; where [B,2,3]: `reader_crops` of these.
    """
    with torch.no_grad():
        goal = read_landmarks(reader, real, where)
    read = read_landmarks(reader, generated, where)
    shape = (read - goal)[:, MOUTH].abs().mean()
    mine, theirs = (_openings(points).sort().values for points in (read, goal))
    return 100 * shape, 100 * F.l1_loss(mine, theirs)


def _openings(points: Tensor) -> Tensor:
    """How far the inner lips are apart in the middle [B], below zero where they cross."""
    # Slices: indices in a list would be carried over to the device at each step.
    upper, lower = (slice(min(side), max(side) + 1) for side in zip(*INNER_LIP_PAIRS, strict=True))
    return points[:, lower, 1].mean(1) - points[:, upper, 1].mean(1)
