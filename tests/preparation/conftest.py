"""Films made on the spot: the fixture's talking face somewhere in a larger picture, and a detector that knows where.

Each frame carries its number as black and white blocks in its corner, which survive any codec; the detector reads the
number and tells the landmarks that the face was put at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.datasets.clips import ClipSet
from talkface_core.faces.face import Detector, Face
from talkface_core.media.audio import audio_source
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter

FIXTURES = Path(__file__).parents[1] / "fixtures"
BLOCK, BITS = 8, 10
RATE = 16000


def numbered(frame: np.ndarray, number: int) -> np.ndarray:
    """The frame with its number in the top left corner, most significant bit first."""
    for bit in range(BITS):
        value = 255 * (number >> (BITS - 1 - bit) & 1)
        frame[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = value
    return frame


def number_of(frame: np.ndarray) -> int:
    inner = [frame[2:6, bit * BLOCK + 2 : bit * BLOCK + 6].mean() > 127 for bit in range(BITS)]
    return int("".join(str(int(bit)) for bit in inner), 2)


@dataclass
class KnownFaces(Detector):
    """The landmarks [68,2] of the faces of each numbered frame; none where there is none."""

    faces: dict[int, list[np.ndarray]]
    name: str = "known"
    threshold: float = 0.5
    asked: list[int] = field(default_factory=list)

    def detect(self, frames: np.ndarray) -> list[list[Face]]:
        numbers = [number_of(np.asarray(frame)) for frame in frames]
        self.asked += numbers
        return [[Face.of(points, 0.9) for points in self.faces.get(n, [])] for n in numbers]


@dataclass(frozen=True)
class Talking:
    """30 frames of a face [30,128,128,3] uint8 and their landmarks [30,68,2]."""

    frames: np.ndarray
    landmarks: np.ndarray

    def at(self, k: int) -> int:
        """Frame k of the face that talks to and fro without end."""
        k %= 2 * len(self.frames) - 2
        return k if k < len(self.frames) else 2 * len(self.frames) - 2 - k


@pytest.fixture(scope="session")
def talking() -> Talking:
    landmarks = ClipSet.open(FIXTURES).clips[0].truth()["landmarks"]
    return Talking(np.concatenate(list(VideoReader(FIXTURES / "ada_talks.mp4").chunks())), landmarks)


def voice(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Something like syllables: a buzz that swells and falls four times a second, float32 [n]."""
    t = np.arange(round(seconds * rate)) / rate
    buzz = np.sign(np.sin(2 * np.pi * 120 * t)) + 0.3 * np.random.default_rng(seed).standard_normal(len(t))
    return (0.15 * buzz * np.sin(2 * np.pi * 2 * t) ** 2).astype(np.float32)


@dataclass
class Stage:
    """What a film shows, frame by frame, and where the face is in it. `place(k)` is x, y of the face's corner."""

    talking: Talking
    width: int = 320
    height: int = 240
    side: int = 192
    backgrounds: dict[int, np.ndarray] = field(default_factory=dict)

    def frame(self, number: int, x: int, y: int, scene: int = 0, shown: bool = True) -> tuple[np.ndarray, list]:
        """Frame and the faces in it."""
        import cv2

        canvas = self.background(scene).copy()
        faces = []
        if shown:
            k = self.talking.at(number)
            face = cv2.resize(self.talking.frames[k], (self.side, self.side), interpolation=cv2.INTER_LINEAR)
            canvas[y : y + self.side, x : x + self.side] = face
            faces = [self.talking.landmarks[k] * (self.side / 128) + np.float32([x, y])]
        return numbered(canvas, number), faces

    def background(self, scene: int) -> np.ndarray:
        import cv2

        if scene not in self.backgrounds:
            knots = np.random.default_rng(scene).integers(0, 256, (3, 4, 3), dtype=np.uint8)
            self.backgrounds[scene] = cv2.resize(knots, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        return self.backgrounds[scene]


@pytest.fixture
def stage(talking: Talking) -> Stage:
    return Stage(talking)


@pytest.fixture
def film(tmp_path: Path, stage: Stage) -> Callable[..., tuple[Path, KnownFaces]]:
    """film(name, frames, fps, where): a film of numbered frames, `where(k)` the arguments of `Stage.frame` or None.

    Sound: syllables of the film's length, or `sound` (None: no sound track). Returns its path and its detector."""

    def make(
        name: str = "film.mp4",
        frames: int = 75,
        fps: object = 25,
        where: Callable[[int], dict] | None = None,
        sound: object = "syllables",
        first: int = 0,
        change: Callable[[np.ndarray, int], np.ndarray] | None = None,
    ) -> tuple[Path, KnownFaces]:
        faces: dict[int, list[np.ndarray]] = {}
        wave = voice(frames / float(fps)) if isinstance(sound, str) else sound
        source = None
        if wave is not None:
            source = audio_source({"waveform": torch.from_numpy(wave)[None, None], "sample_rate": RATE})
        with VideoWriter(tmp_path / name, stage.width, stage.height, fps, source, crf=8) as writer:
            for k in range(frames):
                picture, faces[first + k] = stage.frame(first + k, **{"x": 60, "y": 40, **(where(k) if where else {})})
                picture = picture if change is None else change(picture, k)
                writer.write(picture[None])
        return tmp_path / name, KnownFaces(faces)

    return make
