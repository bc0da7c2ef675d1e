"""Training batches of the renderer: two frames of one clip, the source and the driven one.

Source: LivePortrait's self-reenactment (Guo et al. 2024, section 3.1). Both frames go through one camera: the crop lies
and leans a little differently, the light is another, right and left may be swapped; motion and landmarks go along.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ...errors import InputError
from ...faces.landmarks import mirror
from ...training.picture_augment import PictureAugment
from ..keypoints import MIRRORED, rotation_matrix
from .moving_heads import MovingHeads

LOOKS = PictureAugment(
    tint=0.1, gain=0.2, contrast=0.2, gamma=0.25, saturation=0.4, light=0.2, blur_probability=0.0,
    resample_probability=0.0, jpeg_probability=0.0, noise_probability=0.0, clean=0.25,
)  # fmt: skip
"""Colour and light alone: what the renderer is shown it also has to paint."""

PARTS = ("canonical", "expression", "matrix", "translation", "scale")


@dataclass(frozen=True)
class RendererBatches:
    """pairs: of frames in a batch; zoom, lean, shift: the largest change of the crop's size, of its angle in degrees,
    of its place by its side; far: share of pairs whose source is, of three, the one whose head is turned the furthest
    from the driven, or whose expression is the least like its; augment: other cameras and lights."""

    pairs: int = 8
    zoom: float = 0.12
    lean: float = 12.0
    shift: float = 0.05
    far: float = 0.5
    augment: bool = True


class PairSampler:
    """Draws pairs of frames; the same for the same generator."""

    def __init__(self, data: MovingHeads, settings: RendererBatches) -> None:
        """Raises InputError for a set whose clips have one frame each."""
        self.data, self.settings = data, settings
        self._matrices = rotation_matrix(data.seen.rotation)
        self._usable = np.flatnonzero(np.diff(data.starts) > 1)
        if not len(self._usable):
            raise InputError(f"{data.name}: its clips have one frame each; the renderer learns from films.")

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Of B pairs, `source_` and `driven_` frames uint8 [B,S,S,3] and `PARTS` of their motion, rotations as
        matrices; landmarks [B,68,2] of the driven in shares of the crop; gazing [B] float."""
        chosen = [self._pair(rng) for _ in range(self.settings.pairs)]
        samples = [self._sample(source, driven, rng) for source, driven in chosen]
        return default_collate(samples)

    def _pair(self, rng: np.random.Generator) -> tuple[int, int]:
        clip = int(rng.choice(self._usable))
        first, stop = self.data.starts[clip : clip + 2]
        driven, *others = rng.integers(first, stop, 4)
        if rng.random() >= self.settings.far:
            return int(others[0]), int(driven)
        # Turned the furthest, or of the most unlike expression: mouths that have to be opened or shut.
        told = self._matrices if rng.random() < 0.5 else self.data.seen.expression
        apart = [float((told[other] - told[driven]).square().sum()) for other in others]
        return int(others[int(np.argmax(apart))]), int(driven)

    def _sample(self, source: int, driven: int, rng: np.random.Generator) -> dict[str, Tensor]:
        data, settings, size = self.data, self.settings, self.data.size
        camera = _Camera(1.0, 0.0, np.zeros(2), False)
        look = None
        if settings.augment:
            zoom = float(np.exp(rng.uniform(-1, 1) * settings.zoom))
            lean, shift = np.radians(rng.uniform(-1, 1) * settings.lean), rng.uniform(-1, 1, 2) * 2 * settings.shift
            camera, look = _Camera(zoom, float(lean), shift, bool(rng.random() < 0.5)), LOOKS.look(rng)
        frames = np.stack([camera.frame(data.frames[index], size, data.pad) for index in (source, driven)])
        frames = look(frames) if look else frames
        sample = {}
        for name, index, frame in (("source", source, frames[0]), ("driven", driven, frames[1])):
            sample[f"{name}_frames"] = torch.from_numpy(np.ascontiguousarray(frame))
            motion = camera.motion(self._motion(index))
            sample.update({f"{name}_{part}": value for part, value in motion.items()})
        sample["landmarks"] = camera.landmarks(torch.from_numpy(data.landmarks[driven] - data.pad) / size)
        sample["gazing"] = torch.tensor(float(data.gazing[driven]))
        return sample

    def _motion(self, index: int) -> dict[str, Tensor]:
        seen = self.data.seen
        parts = (seen.canonical, seen.expression, self._matrices, seen.translation, seen.scale)
        return {name: part[index] for name, part in zip(PARTS, parts, strict=True)}


@dataclass(frozen=True)
class _Camera:
    """Another camera: places p in -1..1 of the crop become zoom * turned(p) + shift, then x is swapped."""

    zoom: float
    lean: float
    shift: NDArray[np.float64]
    swapped: bool

    @property
    def _turn(self) -> Tensor:
        """Rows turn by it: [3,3]."""
        c, s = np.cos(self.lean), np.sin(self.lean)
        return torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float32)

    def frame(self, frame: NDArray[np.uint8], size: int, pad: int) -> NDArray[np.uint8]:
        """A frame [P,P,3] with its margin -> [size,size,3]."""
        linear = self.zoom * self._turn[:2, :2].T.numpy().astype(np.float64)
        half = size / 2
        # Of pixels whose first centre is 0.5: about the crop's middle, which lies a margin further in.
        offset = half + half * self.shift - linear @ np.full(2, half + pad)
        matrix = np.concatenate([linear, (offset + 0.5 * linear.sum(1) - 0.5)[:, None]], 1)
        moved = cv2.warpAffine(
            np.asarray(frame), matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return moved[:, ::-1] if self.swapped else moved

    def motion(self, motion: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same motion as this camera sees it."""
        turn, shift = self._turn, torch.tensor([*self.shift, 0.0], dtype=torch.float32)
        moved = {
            "canonical": motion["canonical"],
            "expression": motion["expression"],
            "matrix": motion["matrix"] @ turn,
            "translation": self.zoom * motion["translation"] @ turn + shift,
            "scale": self.zoom * motion["scale"],
        }
        if self.swapped:
            other = torch.tensor([-1.0, 1.0, 1.0])
            for name in ("canonical", "expression"):
                moved[name] = moved[name][list(MIRRORED)] * other
            moved["matrix"] = other[:, None] * moved["matrix"] * other
            moved["translation"] = moved["translation"] * other
        return moved

    def landmarks(self, points: Tensor) -> Tensor:
        """Landmarks [68,2] in shares of the crop as this camera sees them."""
        turn = self._turn[:2, :2]
        moved = (self.zoom * (2 * points - 1) @ turn + torch.tensor(self.shift, dtype=torch.float32) + 1) / 2
        return mirror(moved, 1.0) if self.swapped else moved
