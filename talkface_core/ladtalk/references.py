"""Wav2Lip's references: a shut and a wide open mouth from other moments (ours; published: the frame itself).

The frame itself also tells what its mouth said before, and of an open one traces stay. A shut mouth in like pose tells
only what the lips look like, an open one what is behind them, and all around them is the frame's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..dubbing.light import luma_chroma
from ..faces.align import FaceCrop
from ..faces.landmarks import NOSE_BASE, OUTER_LIPS, UPPER_FACE, inner_lip_gap
from ..pixels import to_bytes, to_unit

SHUT = 0.08
"""Share of a scene's frames that count as its shut mouths."""

WIDE = 0.15
"""Share of a scene's frames that count as its wide open mouths, which show teeth and the inside."""

MOST, MOST_IN_ALL = 12, 400
"""References of one kind of a scene, as different in pose as can be; and of a whole film, whose many scenes have fewer
each, but one at least: they are kept while it is dubbed."""

FAR = 0.08
"""Mean distance of the `UPPER_FACE` points, by the crop's side, from which on a reference does not fit any more."""

_AROUND = 0.08  # how wide the skin is that is compared around a mouth, by the crop's side
_FLOOR = 0.01  # of brightness and chroma, below which is noise
_STRONGEST = 4.0  # factor by which a reference may be brightened or coloured before its noise shows
_REACH = 0.04  # how far beyond the lips their surroundings come along, by the crop's side


def choose_references(
    crop: FaceCrop, usable: NDArray[np.bool_], scenes: Iterable[slice], count: int = 1, away: int = 0
) -> NDArray[np.int64]:
    """For each frame [T] the `count` frames that are shown beside it [T,count]: a shut mouth, then wide open ones.

    The frame itself where no other fits, or it is not `usable` [T]. References are taken within a scene alone: another
    has other light, or another person. None lies nearer than `away` frames, if any other fits.
    """
    points = crop.landmarks.numpy() / crop.size
    gaps, pose = inner_lip_gap(points), points[:, UPPER_FACE]
    chosen, scenes = np.repeat(np.arange(len(points))[:, None], count, 1), list(scenes)
    most = max(1, min(MOST, MOST_IN_ALL // max(count * len(scenes), 1)))
    for scene in scenes:
        own = np.arange(len(points))[scene][usable[scene]]
        if not len(own):
            continue
        for column in range(count):
            wide = gaps[own] >= np.quantile(gaps[own], 1 - WIDE)
            group = own[gaps[own] <= np.quantile(gaps[own], SHUT) if column == 0 else wide]
            kept = farthest_point_sampling(pose[group].reshape(len(group), -1), most)
            candidates = group[kept]
            far = np.stack([np.linalg.norm(pose[own] - pose[k], axis=2).mean(1) for k in candidates])
            far[np.abs(candidates[:, None] - own) < away] = np.inf
            fits = far.min(0) < FAR
            chosen[own[fits], column] = candidates[far.argmin(0)[fits]]
    return chosen


def farthest_point_sampling(points: NDArray[np.floating], most: int) -> NDArray[np.int64]:
    """Up to `most` of points [N,D], each as far as can be from those before (farthest-point sampling), the middle one
    first."""
    middle = np.square(points - points.mean(0)).sum(1).argmin()
    chosen, far = [int(middle)], np.square(points - points[middle]).sum(1)
    while len(chosen) < min(most, len(points)) and far.max() > 0:
        chosen.append(int(far.argmax()))
        far = np.minimum(far, np.square(points - points[chosen[-1]]).sum(1))
    return np.array(chosen)


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
