"""A cache of faces from the tracking pass over a film, so that it need not be read once more.

Where exactly a crop lies is known only when the whole track is, since tracks are smoothed; so a piece of the frame
somewhat larger than the crop is kept, of which any crop within can be cut as of the frame itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..faces.align import FaceCrop, align, warp
from ..faces.track import FaceTrack

BUDGET = 256 * 2**20
"""Bytes that are kept: of faces 360 pixels high about 600, of close-ups in 1080p about 250."""

_MARGIN = 0.15  # on each side, by the crop's side: more than smoothing moves it by
_REACH = 2  # frame pixels around a crop that interpolation looks at
_SIZE = 96  # of the crops that pieces are measured by; any would do

Rank = Callable[[Tensor, Tensor], Tensor]
"""Landmarks [n,68,2] in pixels and the numbers of their frames [n] -> [n], higher for what is to be kept longer."""


@dataclass(frozen=True)
class _Piece:
    """A part of a frame [h,w,3] whose first pixel lies in column `left` and row `top`."""

    picture: NDArray[np.generic]
    left: int
    top: int

    def covers(self, place: FaceCrop) -> bool:
        """Whether all that one crop [1] looks at lies within, or outside of the frame as well."""
        low, high = _reach(place, _REACH)
        height, width = place.image_size
        low, high = np.maximum(low[0], 0), np.minimum(high[0], (width, height))
        start = np.array([self.left, self.top])
        return bool((low >= start).all() and (high <= start + self.picture.shape[1::-1]).all())


class FaceCache:
    """Pieces of frames around faces, as many as `budget` bytes hold; those of the lowest `rank` go first."""

    def __init__(self, rank: Rank, budget: int | None = None) -> None:
        self._rank, self._left = rank, BUDGET if budget is None else budget
        self._pieces: dict[int, _Piece] = {}
        self._order: list[tuple[float, int]] = []

    def add(self, first: int, frames: NDArray[np.generic], landmarks: Tensor, valid: Tensor) -> None:
        """Frames [n,H,W,3], numbered from `first` on, with landmarks [n,68,2] where a face is `valid` [n]."""
        visible = valid.nonzero().flatten()
        if not len(visible):
            return
        height, width = frames.shape[1:3]
        track = FaceTrack(landmarks[visible], valid[visible], (height, width), Fraction(1))
        low, high = _reach(align(track, _SIZE), _REACH, _MARGIN)
        low, high = np.maximum(np.floor(low).astype(int), 0), np.minimum(np.ceil(high).astype(int), (width, height))
        ranks = self._rank(landmarks[visible], first + visible).tolist()
        for k, rank, (left, top), (right, bottom) in zip(visible.tolist(), ranks, low, high, strict=True):
            if right > left and bottom > top:
                self._keep(first + k, rank, frames[k, top:bottom, left:right], int(left), int(top))

    def crop(self, frame: int, place: FaceCrop) -> NDArray[np.generic] | None:
        """A frame's face as `crop_faces` cuts it at its place in the film's crops [T]; None where it was not kept."""
        piece, own = self._pieces.get(frame), place.at([frame])
        if piece is None or not piece.covers(own):
            return None
        matrix = own.matrices[0].double().numpy()
        matrix[:, 2] += matrix[:, :2] @ (piece.left, piece.top)
        return warp(piece.picture, matrix, place.size)

    def _keep(self, number: int, rank: float, picture: NDArray[np.generic], left: int, top: int) -> None:
        while picture.nbytes > self._left:
            if not self._order or self._order[0][0] >= rank:
                return
            self._left += self._pieces.pop(heappop(self._order)[1]).picture.nbytes
        self._left -= picture.nbytes
        self._pieces[number] = _Piece(picture.copy(), left, top)
        heappush(self._order, (rank, number))


def _reach(crop: FaceCrop, pixels: int, margin: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The smallest and the largest x and y [T,2] in the frame of crops that are widened by both."""
    a, b = -margin * crop.size, (1 + margin) * crop.size
    corners = torch.tensor([[a, a], [b, a], [a, b], [b, b]], dtype=torch.float64)
    back = crop.inverse().double()
    there = (corners @ back[:, :, :2].transpose(1, 2) + back[:, None, :, 2]).numpy()
    return there.min(1) - pixels, there.max(1) + pixels
