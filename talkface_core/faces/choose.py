"""The choice of one face among several: the largest, by position, by index, or under a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from .face import Face
from .masks import fit_mask

CHOICES = ("largest", "leftmost", "index", "point", "mask")


@dataclass(frozen=True)
class FaceChoice:
    """The face to take: the largest; the leftmost; the index-th from the left (0 is the leftmost); the one nearest to a
    point (x, y) in pixels; or the one that a mask [H,W] (above 0.5: here) covers most, else the nearest to its middle.
    A mask is in the frames' pixels; one of another size is brought there by `fitted`.

    Raises InputError for an unknown kind, a negative index, and a point or mask that is missing or empty.
    """

    kind: str = "largest"
    index: int = 0
    point: tuple[float, float] | None = None
    mask: Any = None

    def __post_init__(self) -> None:
        if self.kind not in CHOICES:
            raise InputError(f"choice of face {self.kind!r} is unknown; choose one of {', '.join(CHOICES)}.")
        if self.index < 0:
            raise InputError(f"face index {self.index}; count from 0, the leftmost.")
        if self.kind == "point" and self.point is None:
            raise InputError("the face nearest to a point: give the point, x and y in pixels.")
        if self.kind == "mask":
            if self.mask is None:
                raise InputError("the face under a mask: give the mask, as large as the frames.")
            mask = np.asarray(torch.as_tensor(self.mask).cpu(), np.float32)
            mask = mask[0] if mask.ndim == 3 else mask
            if mask.ndim != 2 or not (mask > 0.5).any():
                raise InputError(
                    f"the mask of shape {list(mask.shape)} marks no pixel; paint over the face that is meant."
                )
            object.__setattr__(self, "mask", mask > 0.5)

    def fitted(self, size: tuple[int, int]) -> FaceChoice:
        """The same choice in frames of `size` (height, width). Raises InputError for a mask of another shape."""
        if self.kind != "mask" or self.mask.shape == tuple(size):
            return self
        # What it touches counts: a dot may not vanish where the frames are smaller.
        return replace(self, mask=fit_mask(torch.from_numpy(self.mask), size) > 0)

    def of(self, faces: Sequence[Face]) -> Face | None:
        """The face that is meant, or None where it is not among them."""
        if not faces:
            return None
        if self.kind == "largest":
            return max(faces, key=lambda face: face.area)
        if self.kind in ("leftmost", "index"):
            ordered = sorted(faces, key=_middle_x)
            wanted = self.index if self.kind == "index" else 0
            return ordered[wanted] if wanted < len(ordered) else None
        if self.kind == "mask":
            covered = [self._covered(face) for face in faces]
            if max(covered) > 0:
                return faces[covered.index(max(covered))]
            rows, columns = np.nonzero(self.mask)
            return _nearest(faces, (float(columns.mean()) + 0.5, float(rows.mean()) + 0.5))
        return _nearest(faces, self.point)

    def _covered(self, face: Face) -> float:
        """Share of the face's box that the mask covers."""
        height, width = self.mask.shape
        x0, y0, x1, y1 = face.box.tolist()
        part = self.mask[max(int(y0), 0) : min(int(y1) + 1, height), max(int(x0), 0) : min(int(x1) + 1, width)]
        return float(part.sum()) / max(face.area, 1.0)


def _middle_x(face: Face) -> float:
    return float(face.box[0] + face.box[2])


def _nearest(faces: Sequence[Face], point: tuple[float, float] | None) -> Face:
    there = torch.tensor(point, dtype=torch.float32)
    return min(faces, key=lambda face: float(((face.box[:2] + face.box[2:]) / 2 - there).norm()))
