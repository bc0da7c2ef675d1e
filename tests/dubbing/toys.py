"""Footage, a detector that knows where the face is, and mouths that tell which frames they were painted for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.dubbing.model import DubContext, MouthModel, MouthPainter
from talkface_core.faces.face import Detector, Face
from talkface_core.faces.track import FaceTrack, fill
from talkface_core.media.audio import audio_source
from talkface_core.media.playback import TensorFrameSource
from talkface_core.media.source import AudioSource
from talkface_core.media.video_reader import VideoReader

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"
RATE = 16000
WIDE, HIGH, LEFT, TOP = 161, 143, 17, 9
FRAMES = 10


def pictures() -> NDArray[np.uint8]:
    """Ten frames of the fixture's face in a larger picture of odd sides."""
    out = np.random.default_rng(0).integers(60, 120, (FRAMES, HIGH, WIDE, 3), np.uint8)
    out[:, TOP : TOP + 128, LEFT : LEFT + 128] = next(VideoReader(CLIP).chunks(FRAMES))
    return out


def face_points() -> Tensor:
    """Where the face is in `pictures` [10,68,2]."""
    with np.load(CLIP.with_suffix(".npz")) as truth:
        return torch.from_numpy(truth["landmarks"][:FRAMES].astype(np.float32)) + torch.tensor([LEFT, TOP])


def tracked(landmarks: Tensor, fps: Any = 25, valid: list[bool] | None = None, cuts: tuple[int, ...] = ()) -> FaceTrack:
    visible = torch.ones(len(landmarks), dtype=torch.bool) if valid is None else torch.tensor(valid)
    return fill(landmarks, visible, (HIGH, WIDE), fps, cuts)


def sound(seconds: float, rate: int = RATE, volume: float = 0.1) -> AudioSource:
    samples = round(seconds * rate)
    noise = torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0)) * volume
    return audio_source({"waveform": noise, "sample_rate": rate})


class Seer(Detector):
    """Knows where the face is; counts the frames that it is shown."""

    name, threshold = "seer", 0.5

    def __init__(self, landmarks: Tensor, visible: list[bool] | None = None) -> None:
        self.landmarks, self.visible, self.asked = landmarks, visible, 0

    def detect(self, frames: Any) -> list[list[Face]]:
        numbers = range(self.asked, self.asked + len(frames))
        self.asked += len(frames)
        return [
            [Face.of(self.landmarks[k % len(self.landmarks)], 0.9)] if self.visible is None or self.visible[k] else []
            for k in numbers
        ]


class CountedFilm(TensorFrameSource):
    """Remembers how many frames each pass over it read."""

    def __init__(self, frames: NDArray[np.generic], fps: Any = 25, exact: bool = False) -> None:
        super().__init__(torch.from_numpy(frames), fps, exact)
        self.passes: list[int] = []

    def forwards(self, n: int = 32) -> Iterator[NDArray[np.generic]]:
        return self._counted(super().forwards(n))

    def backwards(self, n: int = 32) -> Iterator[NDArray[np.generic]]:
        return self._counted(super().backwards(n))

    def _counted(self, chunks: Iterator[NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
        self.passes.append(0)
        place = len(self.passes) - 1
        for chunk in chunks:
            self.passes[place] += len(chunk)
            yield chunk


def drawn(frames: Tensor) -> Tensor:
    """What the toy paints for frames of the result [n,3,32,32]: a line across the mouth whose height tells them apart.

    One shade alone would not: what is pasted takes on the footage's colours.
    """
    faces = torch.full((len(frames), 3, 32, 32), 0.3)
    for face, k in zip(faces, frames.tolist(), strict=True):
        face[:, 20 + k % 8] = 0.3 + 0.4 * (k // 8 + 1) / 8
    return faces


class ToyMouths(MouthModel):
    """Faces that tell their frame. `wanted` frames are asked for in `begin`; more than `most` faces at a
    time are too much for the memory; `share` [32,32], if there is one, is said to be paint. Remembers every painter."""

    crop_size = 24

    def __init__(
        self,
        wanted: tuple[int, ...] = (),
        most: int | None = None,
        window: int | None = None,
        share: Tensor | None = None,
    ) -> None:
        self.wanted, self.most, self.window, self.share = wanted, most, window, share
        self.painters: list[ToyPainter] = []

    def begin(self, context: DubContext) -> ToyPainter:
        self.painters.append(ToyPainter(self, context))
        return self.painters[-1]

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        return torch.isin(frames, torch.tensor(self.wanted, dtype=torch.long)).double()


class ToyPainter(MouthPainter):
    device = torch.device("cpu")

    def __init__(self, model: ToyMouths, context: DubContext) -> None:
        self.model, self.context, self.window = model, context, model.window
        self.cut = context.crops((model.wanted, 24), (model.wanted, 48)) if model.wanted else []
        self.settings = {"wanted": len(model.wanted)}
        self.asked: list[list[int]] = []
        self.faces: list[Tensor] = []

    def paint(self, faces: Tensor, frames: Tensor) -> Tensor:
        self.asked.append(frames.tolist())
        if self.model.most is not None and len(faces) > self.model.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.faces.append(faces)
        if self.model.share is None:
            return drawn(frames)
        return torch.cat([drawn(frames), self.model.share.expand(len(frames), 1, 32, 32)], 1)

    @property
    def painted(self) -> list[int]:
        """The frames that were asked for, each attempt counted."""
        return [k for part in self.asked for k in part]
