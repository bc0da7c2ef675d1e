"""The rotated box of a face: centre, side and angle, and its transforms to crops and to other boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from .geometry import fit_similarity
from .net import STRIDE, UNIT

SYSTEM = "faces"
"""The name of the checkpoint's system."""


@dataclass(frozen=True)
class RotatedBox:
    """Centre x, y and side in pixels; turn in radians, counter-clockwise in the picture counts up."""

    x: float
    y: float
    side: float
    turn: float

    @classmethod
    def of(cls, landmarks: ArrayLike, face: ArrayLike) -> RotatedBox:
        """The square in which landmarks [68,2] (pixels) lie nearest to the mean face [68,2] (shares of the square)."""
        points, mean = (torch.as_tensor(np.asarray(p), dtype=torch.float64) for p in (landmarks, face))
        matrix = fit_similarity(points[None], mean)[0].numpy()
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        centre = np.linalg.solve(matrix[:, :2], 0.5 - matrix[:, 2])
        return cls(float(centre[0]), float(centre[1]), 1 / scale, float(np.arctan2(matrix[1, 0], matrix[0, 0])))

    @classmethod
    def decode(cls, values: ArrayLike, column: int, row: int) -> RotatedBox:
        """From the finder's five numbers at a cell."""
        dx, dy, size, cosine, sine = (float(v) for v in np.asarray(values))
        side = UNIT * 2.0 ** min(max(size, -4.0), 6.0)
        return cls((column + 0.5 + dx) * STRIDE, (row + 0.5 + dy) * STRIDE, side, float(np.arctan2(sine, cosine)))

    def moved(self, scale: float, turn: float, shift: ArrayLike) -> RotatedBox:
        """The face then appears `scale` larger, `turn` degrees further counter-clockwise, and shifted by shares."""
        x, y = np.asarray(shift, np.float64) * self.side
        return RotatedBox(self.x - x, self.y - y, self.side / scale, self.turn - float(np.radians(turn)))

    def scaled(self, factor: float) -> RotatedBox:
        """The square in a picture whose pixels are `factor` times as many along each side."""
        return RotatedBox(self.x * factor, self.y * factor, self.side * factor, self.turn)

    def matrix(self, size: int) -> tuple[NDArray[np.float64], float]:
        """Picture pixels -> pixels of the upright crop of `size` [2,3], and the angle that it turns by (`turn`)."""
        scale = size / self.side
        c, s = scale * np.cos(self.turn), scale * np.sin(self.turn)
        linear = np.array([[c, -s], [s, c]])
        return np.column_stack([linear, size / 2 - linear @ (self.x, self.y)]), self.turn

    def from_square(self, other: RotatedBox) -> NDArray[np.float64]:
        """[2,3]: the matrix that takes another picture's square onto this one."""
        scale, angle = self.side / other.side, other.turn - self.turn
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[c, -s], [s, c]])
        return np.column_stack([linear, np.array([self.x, self.y]) - linear @ (other.x, other.y)])

    def corners(self) -> NDArray[np.float64]:
        """The four corners [4,2] in the picture."""
        matrix, _ = self.matrix(1)
        unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64)
        return np.linalg.solve(matrix[:, :2], (unit - matrix[:, 2]).T).T
