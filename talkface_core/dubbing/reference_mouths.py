"""The mouths of references laid into the faces beside which they are shown, in those faces' light (ours).

All around a reference's mouth is the frame's own, so a network is told what lips and teeth look like and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..faces.align import FaceCrop
from ..faces.landmarks import NOSE_BASE, OUTER_LIPS
from ..pixels import to_bytes, to_unit
from .light import luma_chroma

_AROUND = 0.08  # how wide the skin is that is compared around a mouth, by the crop's side
_FLOOR = 0.01  # of brightness and chroma, below which is noise
_STRONGEST = 4.0  # factor by which a reference may be brightened or coloured before its noise shows
_REACH = 0.04  # how far beyond the lips their surroundings come along, by the crop's side


class ReferenceMouths:
    """The mouths that are shown beside one film's faces: of each frame which are `chosen` [T,R], and those faces, cut
    out.

    cut: faces [S,S,3], uint8 or 0..1, by frame. A frame for which none was cut keeps its own mouth.
    """

    def __init__(self, crop: FaceCrop, chosen: NDArray[np.int64], cut: Mapping[int, NDArray[np.generic]]) -> None:
        self._points, self._chosen = crop.landmarks.numpy(), chosen
        # As bytes, whatever the film is: they are kept as long as it is dubbed.
        self._cut = {k: to_bytes(face) for k, face in cut.items()}

    def composite(self, faces: Tensor, frames: Sequence[int]) -> Tensor:
        """The references [n,R,3,S,S] of the faces [n,3,S,S] of these frames, 0..1, each with the mouths chosen."""
        columns = [self._laid_in(faces, frames, column) for column in range(self._chosen.shape[1])]
        return torch.stack(columns, 1)

    def _laid_in(self, faces: Tensor, frames: Sequence[int], column: int) -> Tensor:
        others = [int(self._chosen[k, column]) for k in frames]
        rows = [n for n, (k, other) in enumerate(zip(frames, others, strict=True)) if other != k and other in self._cut]
        if not rows:
            return faces
        moved = [moved_mouth(self._cut[others[n]], self._points[frames[n]], self._points[others[n]]) for n in rows]
        mouths, weights = (torch.from_numpy(np.stack(part)).to(faces.device) for part in zip(*moved, strict=True))
        out, weights = faces.clone(), weights[:, None]
        mouths, fits = in_light_of(to_unit(rearrange(mouths, "n h w c -> n c h w")), out[rows], weights)
        out[rows] = torch.lerp(out[rows], mouths, weights * fits)
        return out


def in_light_of(others: Tensor, faces: Tensor, mouths: Tensor) -> tuple[Tensor, Tensor]:
    """Crops [n,3,S,S] as bright and as coloured as the faces [n,3,S,S] are, by the skin about the mouths [n,1,S,S].

    So a mouth from a bright or coloured moment of a scene does not glow in a dark or grey one. With them [n,1,1,1]: 0
    where that cannot be, since the other crop is nearly black beside the face or has no colour.
    """
    reach = 2 * round(_AROUND * faces.shape[-1]) + 1
    # A square's maximum is that of its rows' maxima.
    wide = F.max_pool2d(mouths, (1, reach), 1, (0, reach // 2))
    around = F.max_pool2d(wide, (reach, 1), 1, (reach // 2, 0)) * (mouths < _FLOOR)
    total = around.sum((2, 3), keepdim=True).clamp(min=1e-3)
    (luma, chroma), (other_luma, other_chroma) = luma_chroma(faces), luma_chroma(others)
    means = ((part * around).sum((2, 3), keepdim=True) / total for part in (luma, chroma, other_luma, other_chroma))
    bright, colour, other_bright, other_colour = means
    brighter = (bright + _FLOOR) / (other_bright + _FLOOR)
    coloured = (colour * other_colour).sum(1, keepdim=True) / (other_colour.square().sum(1, keepdim=True) + _FLOOR**2)
    moved = (other_luma * brighter + other_chroma * coloured.clamp(min=0)).clamp(0, 1)
    paler = (colour.norm(dim=1, keepdim=True) + _FLOOR) / (other_colour.norm(dim=1, keepdim=True) + _FLOOR) / brighter
    return moved, ((brighter < _STRONGEST) & (paler < _STRONGEST)).to(moved.dtype)


def moved_mouth(
    other: NDArray[np.generic], points: NDArray[np.float32], others: NDArray[np.float32]
) -> tuple[NDArray[np.generic], NDArray[np.float32]]:
    """Another crop [S,S,3] moved onto a face by the nose's base, and how much of it to take [S,S]: its mouth alone.

    Landmarks [68,2] of the face and of the other. Around the mouth all is the face's own, so jaw and background need
    not fit.
    """
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    size = len(other)
    shift = points[NOSE_BASE].mean(0) - others[NOSE_BASE].mean(0)
    moved = cv2.warpAffine(other, np.hstack([np.eye(2), shift[:, None]]), (size, size), borderMode=cv2.BORDER_REPLICATE)
    lips = np.concatenate([points[OUTER_LIPS], others[OUTER_LIPS] + shift])
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(lips).astype(np.int32)), 255)
    reach = max(round(_REACH * size), 1)
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return moved, cv2.GaussianBlur(mask, (0, 0), reach / 2).astype(np.float32) / 255
