"""The interface of lip-sync models: a model that repaints mouths, and for each film a painter with its state.

    painter = model.begin(context)             once a film: references, landmarks, strength, the sound's features
    faces = painter.paint(faces, frames)       window after window, on the painter's device

A model is the same for every film; all that is known of one film lies in its painter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..faces.align import FaceCrop, Framing, crop_faces
from ..faces.track import FaceTrack
from ..media.playback import FrameSource
from ..media.source import AudioSource
from ..stage_timer import StageTimer
from .face_cache import FaceCache

READING, FACES, LIPS, PASTING, WRITING = "reading", "faces", "lips", "pasting", "writing"
"""The stages that a timer tells apart; what a painter does counts as `LIPS` but for stages of its own."""

AT_ONCE = {"cpu": 8, "gpu": 32}
"""Frames that are made at once: enough to keep the device busy, few enough to be stopped soon."""

_WINDOW_BYTES = 256 * 2**20  # of frames in a window, unless a model asks for more
_READ = 8  # frames that are read at once


class MouthModel(ABC):
    """A system's networks, ready to repaint the mouths of any film."""

    @property
    @abstractmethod
    def crop_size(self) -> int:
        """Side of the square crops that are to be cut out, in pixels."""

    @property
    def painted_size(self) -> int:
        """Side of the crops at which its networks paint, at most `crop_size`: what is painted is as soft as that."""
        return self.crop_size

    @property
    def framing(self) -> Framing:
        """How large faces are in its crops and where they lie: as in the crops that its networks learned on."""
        return Framing()

    @abstractmethod
    def begin(self, context: DubContext) -> MouthPainter:
        """Look once at what one film needs. What is found belongs to the painter and to no other film's."""

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        """How likely `begin` will ask for the faces of these frames [n], by their landmarks [n,68,2] in pixels: [n].

        While the face is followed, faces are kept as far as there is room, those of a higher rank longer than others:
        what was kept need not be read from the film once more.
        """
        return torch.zeros(len(frames))


class MouthPainter(ABC):
    """Repaints one film's mouths.

    device: where it wants faces. window: how many frames it wants at a time (a diffusion model's window), all of them
    but for those out of sight and at the end; None: what suits the device. settings: what it settled on for the film,
    by name, for reports.
    """

    device: torch.device
    window: int | None = None
    settings: Mapping[str, Any] = {}

    @abstractmethod
    def paint(self, faces: Tensor, frames: Tensor) -> Tensor:
        """Aligned faces [n,3,S,S] in 0..1, float32 on `device` -> the faces that say the sound [n,3,S',S'] in 0..1.

        A fourth channel, where there is one, tells how far each pixel is paint (1) and how far the footage's (0).
        `frames` [n] (int64 on the CPU) are those of the dubbed film, k / fps seconds after its beginning; its frame k
        shows the footage's frame `context.order[k]`. They rise from call to call; where the face is out of sight some
        are left out. S is the model's crop size, S' any.

        When memory runs out, the same frames come again in smaller parts: what a painter remembers from one call to the
        next (the sound's stream, the end of the window before) may move on only when the faces are made.
        """


@dataclass(frozen=True)
class DubContext:
    """All that is known of a film before its mouths are painted.

    film: the footage, to be read again if need be. track: its face [T]. crop: where the aligned faces lie [T], of the
    model's size. visible [T]: which frames are to be repainted. order [N]: the frame of the footage that each frame of
    the dubbed film shows. source: the sound. timer: for stages of the painter's own.
    """

    film: FrameSource
    track: FaceTrack
    crop: FaceCrop
    visible: NDArray[np.bool_]
    order: NDArray[np.int64]
    source: AudioSource
    timer: StageTimer
    cache: FaceCache

    def crops(self, *wanted: tuple[Iterable[int], int]) -> list[dict[int, NDArray[np.generic]]]:
        """For each of (frames of the footage, side in pixels): their aligned faces [side,side,3], by frame.

        Of the film's dtype. Only for faces that were not kept the film is read, once, no further than to the last.
        """
        results: list[dict[int, NDArray[np.generic]]] = [{} for _ in wanted]
        missing: dict[int, list[tuple[dict, FaceCrop]]] = defaultdict(list)
        for crops, (frames, size) in zip(results, wanted, strict=True):
            place = self.crop.resized(size)
            for k in map(int, frames):
                face = self.cache.crop(k, place)
                if face is None:
                    missing[k].append((crops, place))
                else:
                    crops[k] = face
        first = 0
        for chunk in self.timer.stream(READING, self.film.forwards(_READ) if missing else ()):
            for k in missing.keys() & range(first, first + len(chunk)):
                for crops, place in missing[k]:
                    crops[k] = crop_faces(chunk[k - first][None], place.at([k]))[0]
            first += len(chunk)
            if first > max(missing):
                break
        return results


def default_window(device: torch.device, film: FrameSource) -> int:
    """Frames of a film that are made at once on a device: `AT_ONCE`, fewer large ones."""
    most = AT_ONCE["cpu" if device.type == "cpu" else "gpu"]
    return max(1, min(most, _WINDOW_BYTES // (3 * film.width * film.height)))
