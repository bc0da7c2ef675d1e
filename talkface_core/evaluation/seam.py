"""The seam of a mouth that was pasted into a face: how steep brightness is across its edge, and the step of colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SECTORS = 12  # of the mask's edge, each of which may have a step of its own


def seam(before: NDArray[np.uint8], after: NDArray[np.uint8], masks: NDArray[np.float32]) -> tuple[float, float]:
    """Of crops [T,S,S,3] and the mask [T,S,S] that they differ within: how steep brightness is across the mask's soft
    edge, by that of the original; and the change from outside to inside of it beyond the original's, grey levels."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    steep, steps = np.zeros(2), []
    for old, new, mask in zip(before, after, masks, strict=True):
        normal = gradient(cv2.GaussianBlur(mask, (0, 0), 1.0))
        length = np.linalg.norm(normal, axis=0)
        edge = (mask < 0.98) & (length > 1e-4)
        for n, picture in enumerate((old, new)):
            grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
            across = (gradient(grey) * normal).sum(0)[edge] / length[edge]
            steep[n] += np.abs(across).mean()
        steps.append(jump(new.astype(np.float32) - old, mask))
    return float(steep[1] / steep[0]), float(np.mean(steps))


def jump(change: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """By how much a change of colours [S,S,3] differs between two rings inside and outside of a mask's soft edge, the
    mean over parts of the ring, of the channel that differs most."""
    import cv2

    size = len(mask)
    depth = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, 5)
    away = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5)
    full = float(depth[mask < 0.98].max())
    inner = (depth > full) & (depth <= full + 0.04 * size)
    outer = (away > 0) & (away <= 0.04 * size)
    rows, columns = np.nonzero(mask > 0)
    y, x = np.mgrid[:size, :size]
    sector = ((np.arctan2(y - rows.mean(), x - columns.mean()) / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    jumps = []
    for k in range(_SECTORS):
        inside, outside = (change[ring & (sector == k)] for ring in (inner, outer))
        if len(inside) and len(outside):
            jumps.append(np.abs(inside.mean(0) - outside.mean(0)).max())
    return float(np.mean(jumps)) if jumps else float("nan")


def gradient(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Along x and y [2,S,S], per pixel."""
    import cv2

    return np.stack([cv2.Sobel(picture, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0)])
