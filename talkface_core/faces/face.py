"""The record of a detected face, and the interface of face detectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Face:
    """One face in one frame, float32 on the CPU, pixels of the frame.

    box [4]: x0, y0, x1, y1 around the landmarks; landmarks [68,2]; score 0..1; pose [3]: yaw, pitch and roll in degrees
    where the detector reads it off the picture, else None; certainty 0..1, with which it reads the lips, if it says.
    """

    box: Tensor
    landmarks: Tensor
    score: float
    pose: Tensor | None = None
    certainty: float | None = None

    @classmethod
    def of(cls, landmarks: Any, score: float, pose: Any = None, certainty: float | None = None) -> Face:
        """A face of landmarks [68,2]; its box is theirs."""
        points = torch.as_tensor(landmarks, dtype=torch.float32)
        pose = None if pose is None else torch.as_tensor(pose, dtype=torch.float32)
        return cls(torch.cat([points.amin(0), points.amax(0)]), points, float(score), pose, certainty)

    @property
    def area(self) -> float:
        """Pixels that the box covers."""
        width, height = (self.box[2:] - self.box[:2]).tolist()
        return width * height


class Detector(ABC):
    """Finds faces. `name` is what logs call it; `threshold` is the score from which on something is a face.

    `follows`: whether `follow` is cheaper than to search.
    """

    name: str
    threshold: float
    follows: bool = False

    @abstractmethod
    def detect(self, frames: Any) -> list[list[Face]]:
        """The faces of each frame, best score first. frames [T,H,W,3] RGB, uint8 or float 0..1, tensor or array."""

    def follow(self, frames: Any, landmarks: Tensor) -> list[Face]:
        """One face for each frame [T,H,W,3], read around landmarks [68,2] or [T,68,2]; a low score means: not there.

        Unless a detector knows better it searches the frames and takes the face that overlaps that place most.
        """
        points = torch.as_tensor(landmarks, dtype=torch.float32)
        places = [Face.of(p, 0.0) for p in points.expand(len(frames), *points.shape[-2:])]
        followed = []
        for place, faces in zip(places, self.detect(frames), strict=True):
            near = max(faces, key=lambda face: overlap(face.box, place.box), default=place)
            followed.append(near if overlap(near.box, place.box) > 0 else place)
        return followed


def overlap(a: Tensor, b: Tensor) -> float:
    """Share of two boxes [4] that they have in common (intersection over union)."""
    low, high = torch.maximum(a[:2], b[:2]), torch.minimum(a[2:], b[2:])
    common = float((high - low).clamp(min=0).prod())
    total = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - common
    return common / total if total > 0 else 0.0


def best_first(faces: Sequence[Face], most: float = 0.4) -> list[Face]:
    """Faces in order of their score, those left out that overlap a better one by more than `most`."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.score):
        if all(overlap(face.box, other.box) <= most for other in kept):
            kept.append(face)
    return kept
