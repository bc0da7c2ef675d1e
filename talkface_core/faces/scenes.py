"""Scene cuts in a stream of frames: a picture that differs from the one before far more than pictures lately did."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ..pixels import to_unit

_GRID = (18, 32)  # rows and columns of the small picture that is compared
_LEAST = 0.10  # mean difference (of 1) below which nothing is a cut: hands, turns and light stay below it
_TIMES = 4.0  # by how much a cut surpasses the differences just before it
_MEMORY = 12


class CutFinder:
    """Call it with each frame [H,W,3] (uint8 or float 0..1) in turn: True where a new scene begins."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._lately: deque[float] = deque(maxlen=_MEMORY)

    def __call__(self, frame: NDArray[np.generic]) -> bool:
        small = thumbnail(frame)
        if self._last is None:
            self._last = small
            return False
        change = float(np.abs(small - self._last).mean())
        usual = float(np.median(self._lately)) if self._lately else 0.0
        cut = change > max(_LEAST, _TIMES * usual)
        self._last = small
        if cut:
            self._lately.clear()
        else:
            self._lately.append(change)
        return cut


def thumbnail(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    """A frame as 18 x 32 means of its parts, float32 0..1."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    small = cv2.resize(np.ascontiguousarray(frame), _GRID[::-1], interpolation=cv2.INTER_AREA)
    return to_unit(small)
