"""Geometric augmentation of aligned faces: a small move, turn, scaling or mirroring of all frames of a sample.

As the alignment of an imperfect landmark detector would leave them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .landmarks import MIRROR

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Placement:
    """Where a sample's faces lie: frame pixels -> crop pixels, one move for all frames of a sample."""

    matrix: NDArray[np.float64]
    size: int
    mirrored: bool

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        size: int,
        pad: int,
        shift: float = 0.025,
        scale: float = 0.05,
        degrees: float = 4.0,
        mirror: float = 0.5,
    ) -> Placement:
        """A random one for crops `size` px square that have a margin of `pad`; shift is a share of the size."""
        turn, zoom = np.radians(rng.uniform(-degrees, degrees)), np.exp(rng.uniform(-scale, scale))
        move = rng.uniform(-shift, shift, 2) * size
        mirrored = bool(rng.random() < mirror)
        cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
        linear = np.array([[cos, -sin], [sin, cos]])
        if mirrored:
            linear = linear @ np.diag([-1.0, 1.0])
        middle = size / 2 + pad
        return cls(np.c_[linear, size / 2 + move - linear @ [middle, middle]], size, mirrored)

    @classmethod
    def plain(cls, size: int, pad: int) -> Placement:
        """The crop as it was cut."""
        return cls(np.array([[1.0, 0, -pad], [0, 1.0, -pad]]), size, False)

    def pictures(self, frames: Pictures, top: int = 0) -> Pictures:
        """Cut uint8 [T,S,S,3] with margin to [T,size - top,size,3]; `top` rows are left out."""
        # OpenCV sets an environment variable when imported, which a host must not see.
        import cv2

        # OpenCV counts from the centre of the first pixel.
        matrix = self.matrix.copy()
        matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5 - np.array([0, top])
        shape = (self.size, self.size - top)
        cut = [
            cv2.warpAffine(f, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for f in frames
        ]
        return np.stack(cut)

    def points(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Landmarks [T,68,2] of those frames, moved along; mirrored ones change their numbers."""
        moved = landmarks @ self.matrix[:, :2].T + self.matrix[:, 2]
        return (moved[:, list(MIRROR)] if self.mirrored else moved).astype(np.float32)
