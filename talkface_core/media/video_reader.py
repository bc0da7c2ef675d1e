"""Pictures in, as a stream: upright RGB frames out of any video file that FFmpeg opens, through PyAV."""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from ..errors import InputError
from .container import open_input
from .timebase import Rate, as_rate, frame_centre

log = logging.getLogger(__name__)

# H.273 code points of what is met in practice.
_COLOURS = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.ITU709}
_FULL_RANGE = 2
# libswscale's BILINEAR | ACCURATE_RND | FULL_CHR_H_INT: its default is a level too dark.
_UNBIASED = 0x2 | 0x40000 | 0x2000
# Bytes of decoded frames that are held for playing backwards, at the most; and of those handed on at once.
_HELD_BYTES = 256 * 2**20
_CHUNK_BYTES = 64 * 2**20
# Seconds that one picture may stay. A slide in a lecture stays for minutes; a day is a broken clock.
_LONGEST = 3600


class VideoReader:
    """Frames of the first video stream of a file, upright as players show it, as often as needed.

    fps: the exact average rate. width, height: in pixels, after turning. num_frames: as the header says, or None.
    start: the first frame's time on the file's clock, in seconds. has_audio: whether there is sound, to be read with
    `open_audio`. Damaged packets are left out with a warning. `check` is called again and again while the file is
    read; what it raises stops the reading.

    Raises InputError: no such file, no video stream, nothing that decodes.
    """

    def __init__(self, path: str | os.PathLike[str], check: Callable[[], None] | None = None) -> None:
        self.path, self._check = Path(path), check or _go_on
        with self._opened() as container:
            stream = container.streams.video[0]
            first = next(self._decoded(container), None)
            rate = stream.average_rate or stream.guessed_rate
            if first is None or not rate:
                raise InputError(f"{self.path.name} holds no picture that decodes; is it cut off or damaged?")
            self.fps = Fraction(rate)
            self.start = _seconds(first) or Fraction(0)
            self.num_frames: int | None = stream.frames or None
            self.has_audio = bool(container.streams.audio)
        self._size = first.width, first.height
        self.height, self.width = _Picture(*self._size)(first).shape[:2]

    def chunks(self, n: int = 32, begin: Fraction | None = None, end: Fraction | None = None) -> Iterator[np.ndarray]:
        """Frames from the beginning, RGB uint8 [<= n, H, W, 3], n at a time, fewer where they are very large.

        With `begin`, and with `end`, those that are shown from one time on the file's clock until before the other.
        """
        picture = _Picture(*self._size)
        frames = self._all() if begin is None else self._between(begin, end)
        return stacked(map(picture, frames), n)

    def steady(self, fps: Rate, n: int = 32) -> Iterator[np.ndarray]:
        """The same at a constant rate, by the file's time stamps: frame k is what is on screen at (k + 1/2) / fps.

        Times count from the first frame, which need not be the file's zero. A rate that varies, frames that were left
        out and other rates than `fps` thus keep in step with the sound. Raises InputError for a broken clock.
        """
        return stacked(self._steady(as_rate(fps)), n)

    def _steady(self, rate: Fraction) -> Iterator[np.ndarray]:
        picture = _Picture(*self._size)
        count = 0
        with self._opened() as container:
            for frame, end in self._shown(container):
                drawn = None
                while frame_centre(count, rate) < end:
                    drawn = picture(frame) if drawn is None else drawn
                    yield drawn
                    count += 1

    def key_times(self) -> list[Fraction]:
        """Times of the key frames in seconds on the file's clock, rising: where decoding can begin."""
        times = []
        with self._opened() as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                self._check()
                if packet.is_keyframe and packet.pts is not None and packet.time_base is not None:
                    times.append(Fraction(packet.pts * packet.time_base))
        if not times:
            raise InputError(
                f"{self.path.name} has frames without times, so it cannot be played backwards; write it again as .mp4."
            )
        # What lies before the first key frame, if anything, is decoded with it.
        return [min(times[0], self.start), *sorted(times[1:])]

    def backwards(self, begin: Fraction, end: Fraction | None) -> Iterator[np.ndarray]:
        """Frames shown from `begin`, best a key frame's time, until before `end` (None: to the last), the last first.

        RGB uint8 [H, W, 3] each. They are decoded from `begin` on, and of the last as many are held as fit into a fixed
        number of bytes: only a stretch that is longer than that is gone through again.
        """
        picture = _Picture(*self._size)
        stop: int | None = None
        while stop is None or stop > 0:
            held, stop = self._last(begin, end, stop)
            while held:
                self._check()
                yield picture(held.pop())

    def _last(self, begin: Fraction, end: Fraction | None, stop: int | None) -> tuple[deque[av.VideoFrame], int]:
        """The last frames of `_between` before the one numbered `stop`, as many as may be held, and the first's number.

        Frames are held as they were decoded, which is half the size of RGB.
        """
        held: deque[av.VideoFrame] = deque()
        bytes_held, count = 0, 0
        for frame in self._between(begin, end, stop):
            held.append(frame)
            bytes_held += _size_of(frame)
            count += 1
            while bytes_held > _HELD_BYTES and len(held) > 1:
                bytes_held -= _size_of(held.popleft())
        return held, count - len(held)

    def _all(self) -> Iterator[av.VideoFrame]:
        with self._opened() as container:
            yield from self._decoded(container)

    def _between(self, begin: Fraction, end: Fraction | None, most: int | None = None) -> Iterator[av.VideoFrame]:
        with self._opened() as container:
            stream = container.streams.video[0]
            container.seek(int(begin / stream.time_base), stream=stream, backward=True)
            count = 0
            for frame in self._decoded(container):
                time = _seconds(frame)
                if time is None or time < begin:
                    continue
                if (end is not None and time >= end) or count == most:
                    return
                count += 1
                yield frame

    def _shown(self, container: av.container.InputContainer) -> Iterator[tuple[av.VideoFrame, Fraction]]:
        """Each frame and the time until which it is shown, from the first frame on."""
        usual = 1 / self.fps
        before: tuple[av.VideoFrame, Fraction] | None = None
        for frame in self._decoded(container):
            stamp = _seconds(frame)
            if before is None:
                before = frame, Fraction(0)
                continue
            begins = before[1] + usual if stamp is None else stamp - self.start
            if begins - before[1] > _LONGEST:
                raise InputError(
                    f"{self.path.name}: its clock jumps from {float(before[1]):.1f} to {float(begins):.1f} s; "
                    "write the file again with FFmpeg so that its time stamps are whole."
                )
            yield before[0], begins
            before = frame, max(begins, before[1])
        if before is not None:
            last = before[0]
            ticks = getattr(last, "duration", None)  # PyAV knows it from 14.3 on
            length = Fraction(ticks * last.time_base) if ticks and last.time_base else usual
            yield last, before[1] + length

    def _opened(self) -> av.container.InputContainer:
        container = open_input(self.path, "video")
        if not container.streams.video:
            container.close()
            raise InputError(f"{self.path.name} has no pictures; give a video file")
        container.streams.video[0].thread_type = "AUTO"
        return container

    def _decoded(self, container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        damaged = 0
        packets = container.demux(container.streams.video[0])
        while True:
            self._check()
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.FFmpegError:
                damaged += 1
                break
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                damaged += 1
                continue
            yield from frames
        if damaged:
            log.warning("%s is damaged: %d packets did not decode and were left out", self.path.name, damaged)


def stacked(frames: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    """Pictures [H, W, 3] as chunks [<= n, H, W, 3]: n at a time, or as many large ones as may be handed on at once."""
    held: list[np.ndarray] = []
    for frame in frames:
        held.append(frame)
        if len(held) == n or (len(held) + 1) * frame.nbytes > _CHUNK_BYTES:
            yield np.stack(held)
            held = []
    if held:
        yield np.stack(held)


def _go_on() -> None:
    pass


def _size_of(frame: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


def _seconds(frame: av.VideoFrame) -> Fraction | None:
    """A frame's time on the file's clock, where it has one."""
    return None if frame.pts is None or frame.time_base is None else Fraction(frame.pts * frame.time_base)


class _Picture:
    """Decoded frames as upright RGB [H, W, 3] of one size: telephones film sideways and note it in the file."""

    def __init__(self, width: int, height: int) -> None:
        self._size = {"width": width, "height": height}
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        untagged = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        source = _COLOURS.get(frame.colorspace, untagged)
        # RGB has no such matrix; a different one only makes PyAV 14 pass on the other settings.
        target = Colorspace.ITU601 if source == Colorspace.ITU709 else Colorspace.ITU709
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=source,
            dst_colorspace=target,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_UNBIASED,
            **self._size,
        )
        return np.rot90(rgb.to_ndarray(), k=round(frame.rotation / 90) % 4)
