"""The bundled face detector: the detection net, then the landmark net twice, the second time on a refined crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints import find_checkpoint, read_checkpoint
from ..components import Component, build, table
from ..device import Operations, pick_dtype
from ..errors import InputError
from ..pixels import to_bytes, to_signed
from .align import as_array, piece, warp
from .face import Detector, Face, best_first
from .geometry import rotation, turns
from .net import FaceDetectorNet, FaceNetConfig, LandmarkNet
from .rotated_box import SYSTEM, RotatedBox

BUNDLED = "face_tiny"

THRESHOLD = 0.5
"""Score from which on something is taken for a face."""

REACH = (640, 224)
"""Longest sides that the finder sees a picture at: one for small faces, one for those that fill it."""

SURE = 2.5
"""Logit of the reader, mean of both readings, at which the score is a half. It has seen drawn things alone that are no
faces: it gives folds, hands and fur up to 0 on average, photographed and painted faces 8 and more."""

_WAVER = 20.0  # taken off the logit for each face height that the landmarks move from the first reading to the second
_CANDIDATE = 0.2  # chance of a centre that is worth a reading
_MOST = 24  # candidates read per frame
_AT_ONCE = 32  # crops in one batch


@dataclass(frozen=True)
class _Reading:
    """landmarks [68,2] in pixels, logit of a face being there, pose [3] in degrees, certainty of the lips."""

    landmarks: NDArray[np.float64]
    logit: float
    pose: NDArray[np.float64]
    certainty: float


class BundledDetector(Detector):
    """Detects and follows faces with the bundled nets. `threshold`: see `THRESHOLD`."""

    name = "bundled"
    follows = True

    def __init__(self, finder: FaceDetectorNet, reader: LandmarkNet, threshold: float = THRESHOLD) -> None:
        self.finder, self.reader, self.threshold = finder, reader, threshold
        self._face = reader.face.detach().float().cpu().numpy()

    def detect(self, frames: Any) -> list[list[Face]]:
        """See `Detector.detect`."""
        pictures = _pictures(frames)
        wanted = [(k, square) for k, picture in enumerate(pictures) for square in self._candidates(picture)]
        if not wanted:
            return [[] for _ in pictures]
        owners = [k for k, _ in wanted]
        chosen = [pictures[k] for k in owners]
        first = self._read(chosen, [square for _, square in wanted])
        hopeful = [n for n, reading in enumerate(first) if reading.logit > 0]
        second = self._read([chosen[n] for n in hopeful], [self._square(first[n].landmarks) for n in hopeful])
        detections: list[list[Face]] = [[] for _ in pictures]
        for n, reading in zip(hopeful, second, strict=True):
            face = _face(first[n], reading)
            if face.score >= self.threshold:
                detections[owners[n]].append(face)
        return [best_first(faces) for faces in detections]

    def follow(self, frames: Any, landmarks: Tensor) -> list[Face]:
        """See `Detector.follow`."""
        _check(frames)
        pictures = list(frames)
        points = torch.as_tensor(landmarks, dtype=torch.float32)
        each = points if points.ndim == 3 else points.expand(len(pictures), -1, -1)
        first = self._read(pictures, [self._square(p) for p in each])
        second = self._read(pictures, [self._square(reading.landmarks) for reading in first])
        return [_face(*readings) for readings in zip(first, second, strict=True)]

    def _square(self, landmarks: Tensor | NDArray[np.float64]) -> RotatedBox:
        return RotatedBox.of(landmarks, self._face)

    @torch.inference_mode()
    def _candidates(self, picture: NDArray[np.uint8]) -> list[RotatedBox]:
        """Squares of what may be faces, the likeliest first."""
        import cv2

        height, width = picture.shape[:2]
        longest, scored = max(height, width), []
        for reach in sorted({min(reach, longest) for reach in REACH}):
            factor = reach / longest
            size = (max(round(width * factor), 1), max(round(height * factor), 1))
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if factor < 1 else picture
            x = self._input(small[None])
            x = F.pad(x, (0, -x.shape[3] % 64, 0, -x.shape[2] % 64))
            out = self.finder(x.to(memory_format=torch.channels_last))[0].float().cpu()
            heat = out[0].sigmoid()
            peaks = (heat == F.max_pool2d(heat[None, None], 3, 1, 1)[0, 0]) & (heat > _CANDIDATE)
            for row, column in peaks.nonzero().tolist():
                square = RotatedBox.decode(out[1:, row, column].numpy(), column, row).scaled(1 / factor)
                scored.append((float(heat[row, column]), square))
        kept: list[RotatedBox] = []
        for _, square in sorted(scored, key=lambda pair: -pair[0]):
            if all(_apart(square, other) for other in kept):
                kept.append(square)
        return kept[:_MOST]

    @torch.inference_mode()
    def _read(self, pictures: Sequence[Tensor | NDArray[np.generic]], squares: list[RotatedBox]) -> list[_Reading]:
        """What stands in a square of each picture."""
        readings, size = [], self.reader.config.size
        for start in range(0, len(squares), _AT_ONCE):
            part = squares[start : start + _AT_ONCE]
            matrices = [square.matrix(size)[0] for square in part]
            crops = [
                _crop(picture, matrix, size)
                for picture, matrix in zip(pictures[start : start + _AT_ONCE], matrices, strict=True)
            ]
            out = self.reader(self._input(np.stack(crops)).to(memory_format=torch.channels_last))
            points = size * out["landmarks"].float().cpu().numpy().astype(np.float64)
            logits, sure = out["score"].float().tolist(), out["certainty"].float().tolist()
            poses = out["pose"].float().cpu().numpy()
            for square, matrix, own, logit, pose, certainty in zip(
                part, matrices, points, logits, poses, sure, strict=True
            ):
                back = np.linalg.solve(matrix[:, :2], (own - matrix[:, 2]).T).T
                readings.append(_Reading(back, logit, turns(rotation(pose[None])[0], -square.turn), certainty))
        return readings

    def _input(self, pictures: NDArray[np.uint8]) -> Tensor:
        """uint8 [B,H,W,3] -> [B,3,H,W] in -1..1 on the nets' device and in their dtype."""
        weight = self.reader.heat.weight
        x = torch.from_numpy(pictures).to(weight.device).permute(0, 3, 1, 2)
        return to_signed(x).to(weight.dtype)


COMPONENTS = table(
    Component("finder", FaceNetConfig, FaceDetectorNet, half=True),
    Component("reader", FaceNetConfig, LandmarkNet, half=True),
)


def load_bundled(
    name_or_path: str | Path = BUNDLED,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    operations: Operations = torch.nn,
) -> BundledDetector:
    """The bundled detector, or that of a checkpoint file. Raises CheckpointError."""
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    dtype = dtype or pick_dtype(torch.device(device))
    finder, reader = (build(checkpoint, part, operations, dtype, device) for part in COMPONENTS.values())
    return BundledDetector(finder, reader)


def _face(first: _Reading, second: _Reading) -> Face:
    """The face that two readings agree on, or do not."""
    height = max(float(np.ptp(second.landmarks[:, 1])), 1e-6)
    wavers = float(np.linalg.norm(first.landmarks - second.landmarks, axis=1).mean()) / height
    logit = (first.logit + second.logit) / 2 - _WAVER * wavers - SURE
    return Face.of(second.landmarks, 1 / (1 + np.exp(-np.clip(logit, -50, 50))), second.pose, second.certainty)


def _apart(a: RotatedBox, b: RotatedBox) -> bool:
    """Whether two squares are of two faces: their centres lie apart, or one is far smaller and off the other's."""
    return float(np.hypot(a.x - b.x, a.y - b.y)) > 0.3 * max(min(a.side, b.side), 0.4 * max(a.side, b.side))


def _pictures(frames: Any) -> list[NDArray[np.uint8]]:
    """Frames as contiguous uint8 pictures."""
    _check(frames)
    return [np.ascontiguousarray(picture) for picture in to_bytes(as_array(frames))]


def _check(frames: Any) -> None:
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[3] != 3 or min(shape[1:3]) < 1:
        raise InputError(f"frames of shape {list(shape)}; give RGB frames [frames, height, width, 3].")


def _crop(picture: Tensor | NDArray[np.generic], matrix: NDArray[np.floating], size: int) -> NDArray[np.generic]:
    part, own = piece(picture, matrix, size)
    return warp(to_bytes(part), own, size)
