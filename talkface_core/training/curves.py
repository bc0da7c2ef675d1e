"""Curves over time as a picture, for the samples of a run."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def plot_curves(curves: Sequence[Tensor], width: int = 800, height: int = 120) -> NDArray[np.uint8]:
    """Curves [T] on one scale, from light grey to black, RGB uint8 [height, width, 3]."""
    picture = np.full((height, width, 3), 255, np.uint8)
    low, high = min(float(c.min()) for c in curves), max(float(c.max()) for c in curves)
    for index, curve in enumerate(curves):
        x = np.linspace(4, width - 5, len(curve))
        y = height - 8 - (curve.numpy() - low) / max(high - low, 1e-6) * (height - 16)
        shade = int(170 * (1 - index / max(len(curves) - 1, 1)))
        cv2.polylines(picture, [np.stack([x, y], 1).round().astype(np.int32)], False, (shade,) * 3, 1, cv2.LINE_AA)
    return picture
