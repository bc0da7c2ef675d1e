"""Frame sources, and their frames in the order in which a sound of any length needs them, in bounded memory.

Playing backwards needs frames that are long gone. They are decoded again, one stretch between two key frames after the
other, from the last to the first; of each stretch as many frames are held as fit into a fixed number of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..pixels import as_byte_array
from .timebase import Rate, as_rate
from .video_reader import VideoReader, stacked

RULES = ("bounce", "stop", "once")
"""Rules of length, see `frame_order`."""


class FrameSource(Protocol):
    """Frames of a constant rate that can be played in both directions: a `VideoFrameSource` or a `TensorFrameSource`.

    fps in frames per second; width and height in pixels; pixel_aspect: width of a pixel by its height; num_frames: how
    many there are as far as headers tell, or None. Frames are RGB [<= n, H, W, 3], uint8, or float32 in 0..1 where a
    film says so.
    """

    fps: Fraction
    width: int
    height: int
    pixel_aspect: Fraction
    num_frames: int | None

    def forwards(self, n: int = 32) -> Iterator[NDArray[np.generic]]:
        """All frames from the first to the last, up to n at a time."""

    def backwards(self, n: int = 32) -> Iterator[NDArray[np.generic]]:
        """All frames from the last to the first, up to n at a time."""


class VideoFrameSource:
    """A video file as a film, by its time stamps at the constant rate that fits them.

    With `begin`, and with `end`, what is shown from one time on the file's clock until before the other.
    """

    def __init__(self, reader: VideoReader, begin: Fraction | None = None, end: Fraction | None = None) -> None:
        self.reader, self._span = reader, (begin, end)
        self.fps, self.width, self.height = reader.fps, reader.width, reader.height
        self.pixel_aspect = reader.pixel_aspect
        self.num_frames = reader.num_frames if self._span == (None, None) else None

    def forwards(self, n: int = 32) -> Iterator[NDArray[np.uint8]]:
        return self.reader.steady(self.fps, n, self._span)

    def backwards(self, n: int = 32) -> Iterator[NDArray[np.uint8]]:
        return self.reader.steady_backwards(self.fps, n, self._span)


class TensorFrameSource:
    """Frames in memory [T, H, W, 3], uint8 or floating 0..1, as a film. Raises InputError for no frames.

    `exact`: floats are handed on as float32, not as bytes, so that nothing is rounded.
    """

    def __init__(self, frames: Tensor, fps: Rate, exact: bool = False) -> None:
        if frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise InputError(f"frames of shape {list(frames.shape)}; give RGB frames [frames, height, width, 3].")
        self._frames, self.fps = frames, as_rate(fps)
        self._floats = exact and frames.is_floating_point()
        self.height, self.width = int(frames.shape[1]), int(frames.shape[2])
        self.pixel_aspect, self.num_frames = Fraction(1), len(frames)

    def forwards(self, n: int = 32) -> Iterator[NDArray[np.generic]]:
        for part in self._frames.split(n):
            yield self._array(part)

    def backwards(self, n: int = 32) -> Iterator[NDArray[np.generic]]:
        for stop in range(len(self._frames), 0, -n):
            yield self._array(self._frames[max(0, stop - n) : stop].flip(0))

    def _array(self, frames: Tensor) -> NDArray[np.generic]:
        return frames.detach().cpu().float().numpy() if self._floats else as_byte_array(frames)


def frame_order(frames: int, wanted: int, rule: str) -> NDArray[np.int64]:
    """Which of a film's `frames` is shown at each moment, where the sound lasts for `wanted`.

    "bounce": as long as the sound: to the end, back to the beginning and so on, each turning point shown once; "stop":
    until the sound or the film ends, whichever is first; "once": the whole film, however long the sound.
    Raises InputError for another rule, and for no frames.
    """
    if rule not in RULES:
        raise InputError(f"length rule {rule!r} is unknown; choose one of {', '.join(RULES)}.")
    if frames < 1 or wanted < 0:
        raise InputError(f"{frames} frames cannot be played for {wanted}; give a video with at least one frame.")
    if rule != "bounce":
        return np.arange(frames if rule == "once" else min(frames, wanted))
    period = max(2 * (frames - 1), 1)
    phase = np.arange(wanted) % period
    return np.minimum(phase, period - phase) if frames > 1 else np.zeros(wanted, np.int64)


def iterate_frames(
    film: FrameSource, frames: int, wanted: int, rule: str, n: int = 32
) -> Iterator[NDArray[np.generic]]:
    """The frames of `frame_order` [<= n, H, W, 3], n at a time, fewer where they are very large.

    `frames` is how many the film has, or how many are wanted of a longer one.
    """
    left = len(frame_order(frames, wanted, rule))
    if frames == 1:
        yield from stacked(repeat(next(film.forwards(1))[0], left), n)
        return
    # Chunks of one size also across turning points: what works on them then asks for the same memory each time.
    yield from stacked(islice(_to_and_fro(film, n), left), n)


def _to_and_fro(film: FrameSource, n: int) -> Iterator[NDArray[np.generic]]:
    """Frame by frame, for ever; `n` at a time are read."""
    forward, skip = True, 0
    while True:
        frames = chain.from_iterable(film.forwards(n) if forward else film.backwards(n))
        # The turning point was shown by the way there.
        yield from islice(frames, skip, None)
        forward, skip = not forward, 1
