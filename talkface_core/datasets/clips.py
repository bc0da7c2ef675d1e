"""Clips on disk as training data: `<clip>.mp4`, its sound, and optionally `<clip>.npz` with the truth of each frame.

The sound is `<clip>.flac` or `<clip>.wav`, else the mp4's own. The npz may hold, for T frames, `landmarks` [T, 68, 2]
in pixels of the mp4 (origin at the top-left corner of the picture), `pose` [T, 3] in degrees, `mouth_open` [T],
`speech` [T] and so on, and texts in JSON (`phonemes`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arrays import check_numbers, npz_shapes, read_npz
from ..errors import InputError
from ..media.audio import load_audio
from ..media.timebase import FPS
from ..media.video_reader import VideoReader
from ..plain_json import parse_json
from ..training.frame_cache import CacheKey, cached_frames, stats

SPLITS = {"train", "val", "test"}

# Goes up when frames come out with other values than before, so that older caches are built anew.
_DECODING = 2

# The arrays of the truth whose first axis is the frame; the others (names, lists of events) have lengths of their own.
PER_FRAME = (
    *("landmarks", "landmarks_3d", "visible", "pose", "trans", "box", "weights"),
    *("mouth_open", "eye_open", "eye_open_lr", "speech", "prominence"),
)
_INNER = {"landmarks": (68, 2), "pose": (3,), "mouth_open": (), "eye_open": (), "speech": ()}
"""The shapes of a frame's values, of those arrays that training reads."""


@dataclass(frozen=True)
class Clip:
    """One clip: where its files lie and what the mp4's header says of it."""

    name: str
    video: Path
    sound: Path
    truth_file: Path | None
    frames: int
    width: int
    height: int
    fps: Fraction

    def truth(self) -> dict[str, Any]:
        """The npz: floating arrays as float32, texts in JSON parsed. Raises InputError if missing or damaged."""
        if self.truth_file is None:
            raise InputError(f"{self.video}: no {self.name}.npz beside it, so the clip has no truth to train on.")
        truth = {key: _plain(array) for key, array in read_npz(self.truth_file).items()}
        for name in PER_FRAME:
            if name in truth:
                check_numbers(self.truth_file, name, truth[name])
        return truth

    def audio(self) -> dict[str, Any]:
        """The sound as AUDIO: {"waveform": Tensor [1, C, N] in -1..1, "sample_rate": int}, as it is in the file."""
        return load_audio(self.sound)

    def decode(self) -> Iterator[NDArray[np.uint8]]:
        """The frames in order, RGB uint8 [height, width, 3]. Raises InputError when they are not `frames` many."""
        decoded = 0
        for chunk in VideoReader(self.video).chunks(32):
            decoded += len(chunk)
            yield from chunk
        if decoded != self.frames:
            raise InputError(
                f"{self.video}: {decoded} frames decode, the header says {self.frames}; the file is cut off."
            )


@dataclass(frozen=True)
class ClipSet:
    """A folder of clips of one picture size and one frame rate, seen as one long list of N frames."""

    folder: Path
    clips: tuple[Clip, ...]

    @classmethod
    def open(cls, folder: str | Path) -> "ClipSet":
        """Find the clips of `folder`, by name. Reads headers only.

        Raises InputError for a folder that is missing or has no clips, a clip that cannot be read, whose truth has
        another number of frames, or whose size or frame rate is not that of the others.
        """
        folder = Path(folder).absolute()
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; give the folder that holds <clip>.mp4 and <clip>.npz files.")
        videos = sorted(folder.glob("*.mp4"))
        if not videos:
            inside = [child.name for child in sorted(folder.iterdir()) if any(child.glob("*.mp4"))]
            hint = f"its folders {', '.join(inside)} do" if inside else "give the folder with the <clip>.mp4 files"
            raise InputError(f"{folder}: holds no .mp4 clip; {hint}.")
        clips = tuple(_read_clip(video) for video in videos)
        first = clips[0]
        for clip in clips:
            for what, value, other in (
                ("pixels", f"{clip.width}x{clip.height}", f"{first.width}x{first.height}"),
                ("frames per second", float(clip.fps), float(first.fps)),
            ):
                if value != other:
                    raise InputError(
                        f"{clip.video}: {value} {what}, but {first.video.name} has {other}; "
                        "all clips of a set need the same size and frame rate."
                    )
        return cls(folder, clips)

    @property
    def name(self) -> str:
        """A name that tells nothing of where the set lies: its folder's, with the one above a split ("ada/train")."""
        split = self.folder.name.split("_")[0] in SPLITS
        return f"{self.folder.parent.name}/{self.folder.name}" if split else self.folder.name

    @property
    def fps(self) -> Fraction:
        """Frames per second, of every clip."""
        return self.clips[0].fps

    @property
    def files(self) -> list[Path]:
        """All files of the clips: frames, sounds and truths."""
        return sorted({path for clip in self.clips for path in (clip.video, clip.sound, clip.truth_file) if path})

    def check_rate(self) -> None:
        """Raises InputError unless the clips have the models' frame rate: sound and lips would drift apart."""
        if self.fps != FPS:
            raise InputError(f"{self.folder}: {float(self.fps):g} frames per second; export the clips again at {FPS}.")

    def __len__(self) -> int:
        """Number of frames N of all clips together."""
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """[clips + 1]: clip c owns the frames starts[c] to starts[c + 1] - 1."""
        return np.cumsum([0, *(clip.frames for clip in self.clips)])

    @cached_property
    def clip_of(self) -> NDArray[np.int64]:
        """[N]: the clip that each frame belongs to."""
        return np.repeat(np.arange(len(self.clips)), np.diff(self.starts))

    @cached_property
    def frame_of(self) -> NDArray[np.int64]:
        """[N]: each frame's place within its clip."""
        return np.arange(len(self)) - self.starts[self.clip_of]

    def truth(self, key: str) -> NDArray[Any]:
        """[N, ...]: a per-frame array of the truth for all frames. Raises InputError where a clip has none."""
        arrays = []
        for clip in self.clips:
            truth = clip.truth()
            if key not in truth:
                raise InputError(f"{clip.truth_file}: no {key!r} in it, only {', '.join(sorted(truth))}.")
            arrays.append(truth[key])
        return np.concatenate(arrays)

    @cached_property
    def landmarks(self) -> NDArray[np.float32]:
        """[N, 68, 2]: x, y as shares of the frame's size, (0, 0) its top-left and (1, 1) its lower right corner."""
        return self.truth("landmarks") / np.float32([self.clips[0].width, self.clips[0].height])

    def frame_cache(self, size: int, cache_dir: str | Path, quiet: bool = False) -> NDArray[np.uint8]:
        """All frames, area-resized, as a read-only memory map: RGB uint8 [N, size, size, 3].

        Decoded once, with a progress bar, and again when a clip's name, size or time of change is another.
        Raises InputError for frames that are not square or smaller than `size`, and for clips that do not decode.
        """
        width, height = self.clips[0].width, self.clips[0].height
        if width != height or size > width:
            raise InputError(
                f"{self.folder}: frames of {width}x{height} pixels cannot become {size}x{size} by shrinking; "
                "crop the clips to squares of at least that size."
            )
        key = CacheKey("frames", self.folder, (size,), [_DECODING, *stats(clip.video for clip in self.clips)])

        def frames() -> Iterator[NDArray[np.uint8]]:
            for frame in chain.from_iterable(clip.decode() for clip in self.clips):
                yield cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)

        return cached_frames(key, cache_dir, (len(self), size, size, 3), frames, f"{self.name} at {size} px", quiet)


def open_splits(folder: str | Path) -> tuple[ClipSet, ClipSet | None]:
    """The clips to train on and, where the set has one, its `val` split: `folder` is the set or its `train` folder."""
    folder = Path(folder).absolute()
    if (folder / "train").is_dir():
        folder = folder / "train"
    beside = folder.parent / "val"
    val = ClipSet.open(beside) if folder.name == "train" and beside.is_dir() else None
    return ClipSet.open(folder), val


def _read_clip(video: Path) -> Clip:
    reader = VideoReader(video)
    # A header without a count (a fragmented mp4) costs one pass over the frames.
    frames = reader.num_frames or sum(len(chunk) for chunk in reader.chunks())
    size, fps = (reader.width, reader.height), reader.fps
    sounds = (video.with_suffix(suffix) for suffix in (".flac", ".wav"))
    sound = next((path for path in sounds if path.is_file()), video)
    truth = video.with_suffix(".npz")
    clip = Clip(video.stem, video, sound, truth if truth.is_file() else None, frames, *size, fps)
    if clip.truth_file:
        _check_truth(clip, clip.truth_file)
    return clip


def _check_truth(clip: Clip, path: Path) -> None:
    shapes = npz_shapes(path)
    for name in PER_FRAME:
        if name not in shapes:
            continue
        length = shapes[name][0] if shapes[name] else 0
        inner = _INNER.get(name)
        if inner is not None and shapes[name][1:] != inner:
            raise InputError(f"{path}: {name!r} is {list(shapes[name])}; it is [frames, {', '.join(map(str, inner))}].")
        if length != clip.frames:
            raise InputError(
                f"{path}: {name!r} has {length} frames, {clip.video.name} has {clip.frames}; "
                "the truth belongs to another cut of the clip."
            )


def _plain(array: NDArray[Any]) -> Any:
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinite then, and told
            return array.astype(np.float32)
    if array.dtype.kind == "U" and array.ndim == 0:
        try:
            return parse_json(str(array))
        except ValueError:
            return str(array)
    return array
