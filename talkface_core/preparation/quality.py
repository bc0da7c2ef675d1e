"""Quality checks of a clip: light, sharpness, movement, and later lips in step with the sound.

Judged of the whole clip: a few frames blurred by motion or dimmed by a passing shadow belong to real footage.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..faces.align import align, warp
from ..faces.track import FaceTrack
from .rules import BLURRED, DARK, OUT_OF_STEP, STILL

if TYPE_CHECKING:
    from ..sync.score import SyncScore

log = logging.getLogger(__name__)

LIGHT = 0.2
"""What the brightest twentieth of a face must reach (of 1): dark skin in fair light does, no face in the dark does."""

SHARPNESS = 0.27
"""Least `sharpness`: a face blurred by a Gaussian of about 3 px in 256 px frames."""

REPEATED = 0.75
"""Share of frames that may repeat the one before: a film of 10 frames a second has 0.6, a photograph 1."""

OFFSET, CONFIDENCE = 2, 0.15
"""Frames by which lips and sound may be apart, and the confidence from which on the score is believed. The bundled
expert's confidence is 0.25 on average for unseen rendered people, whose offset it always finds; on real films wrong
offsets came with up to 0.11, right ones with up to 0.16."""

_REBLUR = 3 / 256  # deviation of the blur that `sharpness` compares with, by the frame's side
_MOVED = 0.25  # grey levels of mean change below which a face stands still: a codec's repeat has none

SYNC = "sync_tiny"
"""The bundled lip expert's name."""

SyncCheck = Callable[[NDArray[np.uint8], NDArray[np.float32]], "SyncScore"]
"""From aligned crops [T,S,S,3] and their sound [N] at 16 kHz to a sync score. Its attributes: `size` is S, `name` the
expert's."""


@dataclass
class ClipQuality:
    """Takes the frames of a clip one by one; then `reject_reason` tells what is wrong with it, if anything is.

    Only the previous face and, with a `sync` check, small aligned crops are held.
    """

    track: FaceTrack
    sync: SyncCheck | None = None
    light: list[float] = field(default_factory=list)
    sharp: list[float] = field(default_factory=list)
    change: list[float] = field(default_factory=list)
    score: SyncScore | None = None
    _before: NDArray[np.uint8] | None = None
    _small: list[NDArray[np.uint8]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._aligned = None if self.sync is None else align(self.track, self.sync.size)

    def add(self, frame: NDArray[np.uint8]) -> None:
        """The next frame [S,S,3] of the clip."""
        import cv2

        k = len(self.light)
        low, high = self._box()
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[low[1] : high[1], low[0] : high[0]]
        face = cv2.cvtColor(self._part(frame, k), cv2.COLOR_RGB2GRAY)
        self.light.append(float(np.percentile(face, 95)) / 255)
        self.sharp.append(sharpness(face, _REBLUR * len(frame)))
        if self._before is not None:
            self.change.append(float(np.abs(grey.astype(np.int16) - self._before).mean()))
        self._before = grey
        if self._aligned is not None:
            self._small.append(warp(frame, self._aligned.matrices[k].numpy(), self._aligned.size))

    def reject_reason(self, wave: NDArray[np.float32]) -> str | None:
        """Why the clip is dropped, or None. wave [N]: its sound, mono at 16 kHz."""
        if np.median(self.light) < LIGHT:
            return DARK
        if np.median(self.sharp) < SHARPNESS:
            return BLURRED
        if self.change and np.mean(np.array(self.change) < _MOVED) > REPEATED:
            return STILL
        if self.sync is not None:
            self.score = self.sync(np.stack(self._small), wave)
            if self.score.confidence >= CONFIDENCE and abs(self.score.offset) > OFFSET:
                return OUT_OF_STEP
        return None

    def summary(self) -> dict[str, Any]:
        """What was measured, for the report."""
        values = {"light": round(float(np.median(self.light)), 3), "sharpness": round(float(np.median(self.sharp)), 3)}
        if self.score is not None:
            values["sync_offset"] = self.score.offset
            values["sync_confidence"] = round(self.score.confidence, 3)
        return values

    def _box(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The part of the frame that the face reaches anywhere in the clip: the same in each, so that it compares."""
        points = self.track.landmarks
        return self._inside(points.amin((0, 1)).numpy(), points.amax((0, 1)).numpy())

    def _part(self, frame: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
        points = self.track.landmarks[k].numpy()
        low, high = self._inside(points.min(0), points.max(0))
        return np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])

    def _inside(
        self, low: NDArray[np.floating], high: NDArray[np.floating]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        size = np.array(self.track.size[::-1])
        first = low.astype(np.int64).clip(0, size - 2)
        return first, np.maximum(high.astype(np.int64).clip(0, size), first + 2)


def sharpness(grey: NDArray[np.uint8], deviation: float) -> float:
    """The share of its gradients that a picture [h,w] loses when blurred by a Gaussian: 0.7 when sharp, 0 when plain.

    A blurred picture has little left to lose (Crete et al., 2007, "The blur effect"). `deviation` in pixels.
    """
    import cv2

    picture = grey.astype(np.float32)
    steep = _steepness(picture)
    return 1 - _steepness(cv2.GaussianBlur(picture, (0, 0), deviation)) / steep if steep > 1e-3 else 0.0


def _steepness(picture: NDArray[np.float32]) -> float:
    """Root mean square of the gradient."""
    return float(np.sqrt(sum(np.square(np.diff(picture, axis=axis)).mean() for axis in (0, 1))))


class BundledSync:
    """The bundled lip expert as a `SyncCheck`. Raises CheckpointError."""

    name = SYNC

    def __init__(self, device: torch.device | str = "cpu") -> None:
        from ..speech.features import LogMel
        from ..sync.score import sync_score
        from ..sync.syncnet import load_syncnet

        self._net, self._front, self._score = load_syncnet(SYNC).to(device), LogMel(), sync_score
        self.size = self._net.config.size

    def __call__(self, crops: NDArray[np.uint8], wave: NDArray[np.float32]) -> SyncScore:
        return self._score(self._net, crops, self._front(torch.from_numpy(wave)))


def find_sync(device: torch.device | str = "cpu") -> SyncCheck | None:
    """The bundled lip expert, or None where there is none. Raises CheckpointError for one that cannot be read."""
    from ..checkpoints import list_checkpoints

    if SYNC not in list_checkpoints():
        log.info("lips are not compared with the sound: %s is not bundled", SYNC)
        return None
    return BundledSync(device)
