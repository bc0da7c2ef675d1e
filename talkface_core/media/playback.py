"""A video played for as long as a sound lasts: stopped, or played to and fro, in bounded memory either way.

Playing backwards needs frames that are long gone. They are decoded again, one stretch between two key frames after the
other, from the last to the first, and of each stretch only as many frames are held as are handed on at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .video_reader import VideoReader

RULES = ("bounce", "stop")


def frame_order(frames: int, wanted: int, rule: str) -> NDArray[np.int64]:
    """Which of a video's `frames` is shown at each of `wanted` moments.

    "bounce": to the end, back to the beginning and so on, each turning point shown once; "stop": no further than the
    video goes. Raises InputError for another rule, and for no frames.
    """
    if rule not in RULES:
        raise InputError(f"length rule {rule!r} is unknown; choose one of {', '.join(RULES)}.")
    if frames < 1 or wanted < 0:
        raise InputError(f"{frames} frames cannot be played for {wanted}; give a video with at least one frame.")
    if rule == "stop":
        return np.arange(min(frames, wanted))
    period = max(2 * (frames - 1), 1)
    phase = np.arange(wanted) % period
    return np.minimum(phase, period - phase) if frames > 1 else np.zeros(wanted, np.int64)


def played(reader: VideoReader, frames: int, wanted: int, rule: str, n: int = 32) -> Iterator[NDArray[np.uint8]]:
    """The frames of `frame_order`, RGB uint8 [<= n, H, W, 3], n at a time; `frames` is how many the video has."""
    left = len(frame_order(frames, wanted, rule))
    forward, first = True, True
    while left > 0:
        chunks = reader.chunks(n) if forward else backwards(reader, n)
        skip = 0 if first else 1  # the turning point was shown by the way there
        for chunk in chunks:
            chunk = chunk[skip:][:left]
            skip = 0
            left -= len(chunk)
            if len(chunk):
                yield chunk
            if left == 0:
                return
        forward, first = (True, True) if frames == 1 else (not forward, False)


def backwards(reader: VideoReader, n: int = 32) -> Iterator[NDArray[np.uint8]]:
    """All frames of a video from the last to the first, RGB uint8 [<= n, H, W, 3].

    Raises InputError for a file whose frames have no times, which cannot be sought in.
    """
    keys = reader.key_times()
    ends = [*keys[1:], None]
    held: list[NDArray[np.uint8]] = []
    for begin, end in zip(reversed(keys), reversed(ends), strict=True):
        stop = reader.count_between(begin, end)
        while stop > 0:
            start = max(0, stop - n)
            held = [*held, *reader.between(begin, end, start, stop)[::-1]]
            while len(held) >= n:
                yield np.stack(held[:n])
                held = held[n:]
            stop = start
    if held:
        yield np.stack(held)
