"""Footage as it is measured: at 25 frames a second, with the face tracked, and a generated clip beside the real one.

Each clip is tracked by itself, so that what the reader sees a little aside counts alike on both sides. Frames are read
again whenever they are needed; only aligned crops are held, in a file without a name where they are many.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..correlation import pearson
from ..errors import InputError
from ..faces.align import FaceCrop, align, crop_faces
from ..faces.face import Detector
from ..faces.geometry import transform
from ..faces.landmarks import STABLE, eye_distance, mouth_opening
from ..faces.track import FaceTrack, in_sight
from ..faces.tracking import track_faces
from ..media.audio import analysis_blocks, open_audio
from ..media.source import AudioSource
from ..media.timebase import FPS, SAMPLE_RATE
from ..media.video_reader import VideoReader
from ..pixels import to_bytes
from ..speech.features import LogMel

SIDE = 256
"""Side of the aligned face crops, pixels."""

CHUNK = 32
_HELD = 512 * 2**20  # bytes of crops beyond which they lie in a file
_PLACE = 0.15  # eye distances that two faces may lie apart, in the middle, and count as being at one place
_SAME_WORDS = 0.7

Value = TypeVar("Value")
Frames = Callable[[], Iterator[NDArray[np.uint8]]]
"""Begins a film anew: its frames in chunks [n,H,W,3], RGB, at 25 a second."""


@dataclass(frozen=True)
class Footage:
    """One clip. frames: see `Frames`; track: of its face, T frames; points [T,68,2] float32: the landmarks as they
    were read in each frame, pixels of the frame, nothing smoothed; sound [N]: mono at 16 kHz, None: there is none."""

    name: str
    frames: Frames
    track: FaceTrack
    points: NDArray[np.float32]
    sound: Tensor | None = None

    def __len__(self) -> int:
        return len(self.track)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Frames [T] that show a mouth which can be read."""
        return in_sight(self.track).numpy()

    @cached_property
    def crop(self) -> FaceCrop:
        """Where the face's own crops lie."""
        return align(self.track, SIDE)

    @cached_property
    def crops(self) -> NDArray[np.uint8]:
        """The face, aligned by its own track [T,S,S,3]."""
        return self.cut(self.crop)

    @cached_property
    def opening(self) -> NDArray[np.float32]:
        """The mouth's opening [T]: the inner lips' gap by the face's height."""
        return mouth_opening(self.points)

    @cached_property
    def mel(self) -> Tensor | None:
        """Log-mel [steps,80] of the sound."""
        return None if self.sound is None else LogMel()(self.sound)

    def cut(self, crop: FaceCrop) -> NDArray[np.uint8]:
        """Crops [T,S,S,3] of the frames, wherever `crop` has them."""
        held = _room((len(self), crop.size, crop.size, 3))
        done = 0
        for chunk in first_frames(self.frames(), len(self)):
            held[done : done + len(chunk)] = crop_faces(chunk, crop.part(done, done + len(chunk)))
            done += len(chunk)
        return held

    def once(self, key: str, make: Callable[[], Value]) -> Value:
        """What `make` gives, made once and kept with the clip."""
        kept: dict[str, Value] = self.__dict__.setdefault("_kept", {})
        if key not in kept:
            kept[key] = make()
        return kept[key]

    def first(self, count: int) -> Footage:
        """Its first frames."""
        return (
            self if count >= len(self) else replace(self, track=self.track.part(0, count), points=self.points[:count])
        )


@dataclass(frozen=True)
class Pair:
    """A generated clip beside the real one, equally long.

    closures: frames of p, b and m, None: not known; pauses [T]: where nobody speaks, None: not known; hushed: what the
    generating system makes of silence, None: it was not asked.
    """

    name: str
    generated: Footage
    real: Footage
    closures: NDArray[np.int64] | None = None
    pauses: NDArray[np.bool_] | None = None
    hushed: Footage | None = None

    @classmethod
    def of(cls, name: str, generated: Footage, real: Footage, **known: Any) -> Pair:
        """Cut to the shorter one. Raises InputError for fewer than five frames."""
        count = min(len(generated), len(real))
        if count < 5:
            raise InputError(f"{name}: {count} frames of both clips; five or more are needed to measure anything.")
        closures, pauses = known.pop("closures", None), known.pop("pauses", None)
        return cls(
            *(name, generated.first(count), real.first(count)),
            None if closures is None else closures[closures < count],
            None if pauses is None else pauses[:count],
            **known,
        )

    def __len__(self) -> int:
        return len(self.real)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Frames in which both show their mouth."""
        return self.generated.seen & self.real.seen

    @cached_property
    def in_place(self) -> bool:
        """Whether both are of one size, with the face at one place: then pixels can be compared."""
        if self.generated.track.size != self.real.track.size:
            return False
        apart = self.generated.points[:, list(STABLE)] - self.real.points[:, list(STABLE)]
        away = np.linalg.norm(apart, axis=2).mean(1) / eye_distance(self.real.points)
        return float(np.median(away)) < _PLACE

    @cached_property
    def same_words(self) -> bool:
        """Whether both have one sound, by the loudness of their mels; a clip without sound is taken to say the same."""
        made, real = self.generated.mel, self.real.mel
        if made is None or real is None:
            return True
        count = min(len(made), len(real))
        a, b = (mel[:count].mean(1).numpy() for mel in (made, real))
        alike = pearson(a, b) if count > 1 else float("nan")
        return bool(np.isnan(alike)) or alike > _SAME_WORDS

    @cached_property
    def _placed(self) -> NDArray[np.uint8]:
        return self.generated.cut(self.real.crop)

    def placed(self, subject: Footage) -> NDArray[np.uint8]:
        """The crops of the generated or of the real clip where the real one's face is [T,S,S,3]."""
        return self.real.crops if subject is self.real else self._placed

    def placed_points(self, subject: Footage) -> NDArray[np.float32]:
        """The subject's landmarks in pixels of these crops [T,68,2]."""
        return transform(self.real.crop.matrices, torch.from_numpy(subject.points)).numpy()

    @cached_property
    def open_from(self) -> float:
        """The opening from which a mouth is open: a quarter of the way from the real one's shut lips (the twentieth of
        its frames that are most shut) to its wider half."""
        opening = np.sort(self.real.opening[self.real.seen] if self.real.seen.any() else self.real.opening)
        shut, wide = opening[: max(len(opening) // 20, 1)].mean(), opening[len(opening) // 2 :].mean()
        return float(0.75 * shut + 0.25 * wide)


def read_footage(
    name: str,
    frames: Frames,
    detector: Detector,
    sound: Tensor | None = None,
    progress: Callable[[NDArray[np.uint8]], None] | None = None,
) -> Footage:
    """Track the face of a film. `progress` is shown each chunk of frames. Raises InputError without a face in it."""
    read: list[NDArray[np.float32]] = []

    def observe(_: int, chunk: Any, landmarks: Tensor, valid: Tensor) -> None:
        read.append(torch.where(valid[:, None, None], landmarks, torch.nan).float().numpy())
        if progress is not None:
            progress(chunk)

    try:
        track = track_faces(frames(), FPS, detector, observe=observe)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    points = np.concatenate(read)
    return Footage(name, frames, track, np.where(np.isnan(points), track.landmarks.numpy(), points), sound)


def film_frames(path: Path, seconds: float | None = None) -> Frames:
    """A film file's frames at 25 a second, of its beginning. Raises InputError for what is no film."""
    reader = VideoReader(path)
    most = None if seconds is None else max(round(seconds * FPS), 1)

    def begin() -> Iterator[NDArray[np.uint8]]:
        return first_frames(reader.steady(FPS, CHUNK), most)

    return begin


def held_frames(images: Tensor, fps: float | Fraction = FPS) -> Frames:
    """Frames in memory [T,H,W,3], uint8 or 0..1, as a film: at 25 a second, each time's nearest."""
    count = max(int(len(images) * FPS / float(fps) + 1e-6), 1)
    times = [min(int((k + 0.5) * float(fps) / FPS), len(images) - 1) for k in range(count)]

    def begin() -> Iterator[NDArray[np.uint8]]:
        for start in range(0, count, CHUNK):
            yield np.asarray(to_bytes(images[times[start : start + CHUNK]].detach().cpu()))

    return begin


def film_sound(path: Path, seconds: float | None = None, other: Path | None = None) -> Tensor | None:
    """The sound of a clip as mono 16 kHz [N]: of a .flac or .wav beside it, else its own, else that of `other`."""
    for film in (path,) if other is None else (path, other):
        beside = (film.with_suffix(suffix) for suffix in (".flac", ".wav"))
        if (file := next((file for file in beside if file.is_file()), None)) is not None:
            return mono(open_audio(file, duration=seconds))
        reader = VideoReader(film)
        if reader.has_audio:
            return mono(open_audio(film, duration=seconds, origin=reader.start))
    return None


def mono(source: AudioSource) -> Tensor:
    """A source's mono copy at 16 kHz [N]."""
    return torch.cat(list(analysis_blocks(source, SAMPLE_RATE)))


def known_closures(truth: Mapping[str, Any], frames: int) -> NDArray[np.int64] | None:
    """Frames of p, b and m that a clip's truth names: `pp_frames`, or `phonemes` [symbol, viseme, start, end]."""
    if "pp_frames" in truth:
        return np.asarray(truth["pp_frames"], np.int64)
    if not isinstance(phonemes := truth.get("phonemes"), list):
        return None
    try:
        said = [(float(start) + float(end)) / 2 for _, viseme, start, end in phonemes if viseme in ("PP", "BV")]
    except (ValueError, TypeError) as error:
        raise InputError("phonemes are lists of [symbol, viseme, start_s, end_s]; see datasets/labels.py") from error
    return np.array([k for s in said if (k := int(s * FPS)) < frames], np.int64)


def first_frames(chunks: Iterator[NDArray[Any]], most: int | None) -> Iterator[NDArray[np.uint8]]:
    """The first frames of a film."""
    left = most
    for chunk in chunks:
        part = chunk if left is None else chunk[:left]
        yield part
        if left is not None and (left := left - len(part)) <= 0:
            return


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if np.prod(shape) <= _HELD:
        return np.empty(shape, np.uint8)
    # The file has no name, and is gone with the array.
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
