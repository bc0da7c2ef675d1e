"""What every face detector offers, whatever it is made of, and which one there is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InputError

log = logging.getLogger(__name__)

DETECTORS = ("auto", "bundled", "face-alignment")


@dataclass(frozen=True)
class Face:
    """One face in one frame, float32 on the CPU, pixels of the frame.

    box [4]: x0, y0, x1, y1 around the landmarks; landmarks [68,2]; score 0..1; pose [3]: yaw, pitch and roll in degrees
    where the detector reads it off the picture, else None.
    """

    box: Tensor
    landmarks: Tensor
    score: float
    pose: Tensor | None = None

    @classmethod
    def of(cls, landmarks: Any, score: float, pose: Any = None) -> Face:
        """A face of landmarks [68,2]; its box is theirs."""
        points = torch.as_tensor(landmarks, dtype=torch.float32)
        pose = None if pose is None else torch.as_tensor(pose, dtype=torch.float32)
        return cls(torch.cat([points.amin(0), points.amax(0)]), points, float(score), pose)

    @property
    def area(self) -> float:
        """Pixels that the box covers."""
        width, height = (self.box[2:] - self.box[:2]).tolist()
        return width * height


class Detector(Protocol):
    """Finds faces. `name` is what logs call it; `threshold` is the score from which on something is a face."""

    name: str
    threshold: float

    def detect(self, frames: Any) -> list[list[Face]]:
        """The faces of each frame, best score first. frames [T,H,W,3] RGB, uint8 or float 0..1, tensor or array."""
        ...


class Follower(Detector, Protocol):
    """A detector that also reads a face off frames when told about where it is, which is cheaper than to search."""

    def follow(self, frames: Any, landmarks: Tensor) -> list[Face]:
        """One face for each frame [T,H,W,3], read around landmarks [68,2] or [T,68,2]; a low score means: not there."""
        ...


def find_detector(
    name: str = "auto", device: torch.device | str = "cpu", dtype: torch.dtype | None = None, download: bool = False
) -> Detector:
    """The detector called `name`, on a device and in a dtype (None: what suits the device).

    "auto" takes face-alignment when the library and its weights are there, else the bundled net; the log says which.
    `download` allows face-alignment to fetch its weights. Raises InputError for an unknown name, and when
    face-alignment is asked for by name and is missing.
    """
    if name not in DETECTORS:
        raise InputError(f"face detector {name!r} is unknown; choose one of {', '.join(DETECTORS)}.")
    from . import face_alignment
    from .bundled import load_bundled

    missing = face_alignment.missing(download)
    if name == "face-alignment" and missing:
        raise InputError(f"face-alignment cannot be used: {missing}; or choose the detector 'bundled'.")
    if name == "bundled" or missing:
        reason = f" ({missing})" if name == "auto" else ""
        log.info("faces are found by the bundled net%s", reason)
        return load_bundled(device=device, dtype=dtype)
    log.info("faces are found by the library face-alignment")
    return face_alignment.FaceAlignment(device, dtype or torch.float32)


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
