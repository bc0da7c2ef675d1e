"""Tracks one face through a video of any length: frames pass by in chunks, only landmarks are kept."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate, as_rate
from ..pixels import to_unit
from .align import as_array
from .choose import FaceChoice
from .face import Detector, Face, overlap
from .landmarks import POINTS
from .readable import mark_readable
from .track import FaceTrack, fill, smooth

log = logging.getLogger(__name__)

SMOOTHING = 0.3
"""Strength of the smoothing in training, and in inference unless another is asked for.

It takes a third of the detector's jitter off the crops (0.29 to 0.20 px of 96, as second difference over time) and
leaves lips and nods. At 0.5, which the bundled weights were trained with, crops lie 0.06 px of 96 elsewhere on average.
"""

_BLOCK = 8  # frames read at once around the face's last place: a face moves little in a third of a second
_SAME = 0.25  # overlap of boxes from which on two faces, frame to frame, are one person's
_FORGET = 1.0  # seconds without the face after which the choice is made anew

_GRID = (18, 32)  # rows and columns of the small picture that is compared
_LEAST = 0.10  # mean difference (of 1) below which nothing is a cut: hands, turns and light stay below it
_TIMES = 4.0  # by how much a cut surpasses the differences just before it
_MEMORY = 12

Observe = Callable[[int, Any, Tensor, Tensor], None]
"""The number of a chunk's first frame, the chunk [n,H,W,3], and its landmarks [n,68,2] as they were seen, before any
smoothing, where valid [n]."""


def track_faces(
    chunks: Iterable[Any],
    fps: Rate,
    detector: Detector,
    choice: FaceChoice | None = None,
    smoothing: float = SMOOTHING,
    observe: Observe | None = None,
) -> FaceTrack:
    """The track of one face through frames given in chunks [n,H,W,3] (RGB, uint8 or float 0..1, of one size).

    The face is chosen in the first frame of a scene that shows any, and then kept by overlap, wherever others go. A
    detector that can follow searches only where the face was lost. Frames without it are bridged from their
    neighbours, flagged and counted in the log, as are those whose mouth cannot be read. `observe` is called after each
    chunk.

    Raises InputError for no frames, frames that change size, and when no frame has a face.
    """
    tracker = _Tracker(detector, choice or FaceChoice(), float(as_rate(fps)))
    for chunk in chunks:
        first = tracker.done
        tracker.take(chunk)
        if observe:
            observe(first, chunk, torch.stack(tracker.landmarks[first:]), torch.tensor(tracker.valid[first:]))
    track = tracker.track(fps)
    return smooth(track, smoothing) if len(track) > 1 else track


class _Tracker:
    """What is known of the face so far."""

    def __init__(self, detector: Detector, choice: FaceChoice, rate: float) -> None:
        self.detector, self.choice = detector, choice
        self.patience = max(round(_FORGET * rate), 1)
        self.size: tuple[int, int] | None = None
        self.landmarks: list[Tensor] = []
        self.valid: list[bool] = []
        self.certainty: list[float] = []
        self.yaw: list[float] = []
        self.cuts: list[int] = []
        self.is_cut = CutDetector()
        self.last: Face | None = None
        self.missing = 0
        self.most = 0  # faces seen in one frame

    @property
    def done(self) -> int:
        return len(self.valid)

    def take(self, chunk: Any) -> None:
        """Find the face in the next frames."""
        frames = chunk.detach().cpu() if isinstance(chunk, Tensor) else np.asarray(chunk)
        if frames.ndim != 4 or frames.shape[3] != 3:
            raise InputError(f"frames of shape {list(frames.shape)}; give RGB frames [frames, height, width, 3].")
        size = (int(frames.shape[1]), int(frames.shape[2]))
        if self.size not in (None, size):
            raise InputError(
                f"frame {self.done} is {size[1]}x{size[0]} px, those before are {self.size[1]}x{self.size[0]}."
            )
        if self.size is None:
            self.size, self.choice = size, self.choice.fitted(size)
        cuts = [k for k, frame in enumerate(frames) if self.is_cut(as_array(frame))]
        edges = sorted({0, *cuts, len(frames)})
        for start, stop in pairwise(edges):
            if start in cuts:
                self.cuts.append(self.done)
                self.last = None
            self.scene(frames[start:stop])

    def scene(self, frames: Any) -> None:
        """Frames without a cut among them."""
        start = 0
        while start < len(frames):
            if self.last is None or self.missing or not self.detector.follows:
                self.search(frames[start : start + 1])
                start += 1
                continue
            block = frames[start : start + _BLOCK]
            for face in self.detector.follow(block, self.last.landmarks):
                if face.score < self.detector.threshold or overlap(face.box, self.last.box) < _SAME:
                    self.search(frames[start : start + 1])
                    start += 1
                    break
                self.note(face)
                start += 1

    def search(self, frame: Any) -> None:
        """One frame, looked at as a whole."""
        faces = self.detector.detect(frame)[0]
        self.most = max(self.most, len(faces))
        if self.last is None or self.missing >= self.patience:
            best = self.choice.of(faces)
        else:
            best = max(faces, key=lambda face: overlap(face.box, self.last.box), default=None)
            if best is not None and overlap(best.box, self.last.box) < _SAME:
                best = None
        self.note(best)

    def note(self, face: Face | None) -> None:
        self.valid.append(face is not None)
        self.landmarks.append(torch.zeros(POINTS, 2) if face is None else face.landmarks)
        self.certainty.append(math.nan if face is None or face.certainty is None else face.certainty)
        self.yaw.append(math.nan if face is None or face.pose is None else float(face.pose[0]))
        self.missing = 0 if face is not None else self.missing + 1
        self.last = face or self.last

    def track(self, fps: Rate) -> FaceTrack:
        """All frames together, gaps filled, and which mouths can be read."""
        if self.size is None or not self.valid:
            raise InputError("no frames to find a face in; the video is empty.")
        detected, total, least = sum(self.valid), len(self.valid), self.detector.threshold
        if not detected and self.most:
            raise InputError(
                f"face {self.choice.index} from the left is asked for, but no frame shows more than {self.most}; "
                f"choose 0 to {self.most - 1}; in ComfyUI the threshold can be lowered too."
            )
        if not detected:
            where = "the picture" if total == 1 else f"any of {total} frames"
            raise InputError(
                f"no face in {where} of {self.size[1]}x{self.size[0]} px scores {least:g} or more (detector "
                f"{self.detector.name}); use one with a face at least 40 px high that looks towards the camera, crop "
                "closer, or turn it upright; in ComfyUI the threshold can be lowered too."
            )
        if detected < total:
            log.warning(
                "%d of %d frames show no face that scores %g; their landmarks are held from their neighbours",
                total - detected,
                total,
                least,
            )
        track = fill(torch.stack(self.landmarks), torch.tensor(self.valid), self.size, fps, self.cuts)
        return replace(track, readable=mark_readable(track, torch.tensor(self.certainty), torch.tensor(self.yaw)))


class CutDetector:
    """Call it with each frame [H,W,3] (uint8 or float 0..1) in turn: True where a new scene begins."""

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._lately: deque[float] = deque(maxlen=_MEMORY)

    def __call__(self, frame: NDArray[np.generic]) -> bool:
        small = block_means(frame)
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


def block_means(frame: NDArray[np.generic]) -> NDArray[np.float32]:
    """A frame as 18 x 32 means of its parts, float32 0..1."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    small = cv2.resize(np.ascontiguousarray(frame), _GRID[::-1], interpolation=cv2.INTER_AREA)
    return to_unit(small)
