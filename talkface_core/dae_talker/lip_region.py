"""Which part of a face the inpainting decoder paints, and the picture of lips that its encoder looks at.

Source: DiffDub (Liu et al. 2024), as its public program has it: everything below the tip of the nose, as wide as the
chin, is painted; what the encoder sees reaches up to the brows, so that the eyes steady it, and is black around. Its
sizes are in pixels of the published 256 px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..faces.landmarks import CHIN, INNER_BROWS, NOSE_TIP

SIDE = 256
"""Pixels of the pictures whose pixels `Margins` counts."""

_SIDES = (6, 10)  # of the jaw: right and left of the chin


@dataclass(frozen=True)
class Margins:
    """Pixels: how far the region reaches below the chin, and how far all its edges are moved outwards then."""

    chin: float = 5
    grow: int = 8

    @classmethod
    def of(cls, size: int) -> Margins:
        """As published, for pictures `size` pixels square."""
        return cls(cls.chin * size / SIDE, max(round(cls.grow * size / SIDE), 1))


def mouth_region(points: NDArray[np.floating], size: int, margins: Margins | None = None) -> NDArray[np.bool_]:
    """What is painted of a face whose landmarks are `points` [68,2], in pixels of a picture [S,S]."""
    return _region(points, size, NOSE_TIP, margins)


def lip_picture(
    face: NDArray[np.generic], points: NDArray[np.floating], size: int, margins: Margins | None = None
) -> NDArray[np.generic]:
    """The lips [size,size,3] of a face [S,S,3] as the encoder looks at them: cut out of it, black around.

    A face whose lips lie outside of the picture gives a black one.
    """
    import cv2

    region = _region(points, len(face), INNER_BROWS[0], margins)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    # As published, without the last row and column.
    if len(rows) < 2 or len(columns) < 2:
        return np.zeros((size, size, 3), face.dtype)
    cut = (face * region[..., None])[rows[0] : rows[-1], columns[0] : columns[-1]]
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_NEAREST)


def _region(points: NDArray[np.floating], size: int, top: int, margins: Margins | None) -> NDArray[np.bool_]:
    """The five corners, whole pixels, filled and grown: bool [S,S]."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    margins = margins or Margins.of(size)
    right, left = (points[n] for n in _SIDES)
    chin = (points[CHIN][0], points[CHIN][1] + margins.chin)
    corners = np.array([(right[0], points[top][1]), (left[0], points[top][1]), left, chin, right])
    # Far outside of the picture OpenCV's whole numbers would overflow.
    corners = np.clip(corners, -4 * size, 4 * size).astype(np.int32)
    filled = cv2.fillPoly(np.zeros((size, size), np.uint8), [corners], 1)
    side = 2 * margins.grow + 1
    return cv2.dilate(filled, np.ones((side, side), np.uint8)) > 0
