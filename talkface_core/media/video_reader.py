"""Streaming video reader: upright RGB frames out of any video file that FFmpeg opens, through PyAV.

A film is played by its time stamps at a constant rate that fits them: frame k is what is on screen at (k + 1/2) / fps
from the beginning. So a rate that varies, gaps and odd clocks keep in step with the sound.
"""

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from pathlib import Path

import av
import numpy as np

from ..errors import InputError
from .container import open_input, packets_of, video_stream
from .decoding import decoded
from .frame_rate import fitting_rate, frames_before
from .picture_size import check_size
from .rgb import RGBConverter, orientation, pixel_aspect, squared
from .timebase import Rate, as_rate

log = logging.getLogger(__name__)

# Bytes of decoded frames that are held for playing backwards, at the most; and of those handed on at once.
_BUFFER_BYTES = 256 * 2**20
_CHUNK_BYTES = 64 * 2**20
# Seconds that one picture may stay. A slide in a lecture stays for minutes; a day is a broken clock.
_LONGEST = 3600
# Frames whose stamps are looked at for the rate: two minutes, or a short film's all.
_LOOKED_AT = 3000
# MPEG program streams have a constant rate, and stamps on packs instead of frames: frames carry a neighbour's time,
# after a seek more than ever, and all packets are flagged as key frames.
_PROGRAM_STREAM = "mpeg"
_JUMP = Fraction(1, 2)  # seconds that such a stamp may be off
# Seconds that a seek goes back further where it landed too late; the last resort is the file's beginning.
_FURTHER_BACK = (0, 1, 4, 16, 64)

Span = tuple[Fraction | None, Fraction | None]


@dataclass(frozen=True)
class _Timed:
    """A decoded frame and how long it is on screen: seconds on the file's clock."""

    frame: av.VideoFrame
    begin: Fraction
    end: Fraction


class VideoReader:
    """Frames of the film in a file, upright as players show it, as often as needed.

    fps: the constant rate that fits its time stamps. width, height: in pixels, after turning. pixel_aspect: width of a
    pixel by its height. num_frames: how many there are at that rate, as far as headers tell, or None. start: the first
    frame's time on the file's clock, in seconds. has_audio: whether there is sound, to be read with `open_audio`. What
    cannot be kept (damaged packets, fields, HDR, transparency) is warned of once. `check` is called again and again
    while the file is read; what it raises stops the reading. `square` makes all pixels square, by growing one side.

    Raises InputError: no such file, no film in it, nothing that decodes, a rate that makes no sense.
    """

    def __init__(
        self, path: str | os.PathLike[str], check: Callable[[], None] | None = None, square: bool = False
    ) -> None:
        self.path, self._check = Path(path), check or _go_on
        self._keys: list[Fraction] | None = None
        self._warned: set[str] = set()
        with self._opened() as container:
            stream = video_stream(container, self.path.name)
            self._index = stream.index
            check_size(self.path.name, stream.width, stream.height)
            self._stamps_packs = container.format.name == _PROGRAM_STREAM
            first = next(self._decoded(container), None)
            if first is None:
                raise InputError(f"{self.path.name} holds no picture that decodes; is it cut off or damaged?")
            self.start = _seconds(first) or Fraction(0)
            self._turned, self._size = orientation(first), (first.width, first.height)
            self.pixel_aspect = pixel_aspect(stream, self._turned)
            if square:
                self._size, self.pixel_aspect = squared(stream, first), Fraction(1)
            check_size(self.path.name, *self._size)
            self.has_audio = bool(container.streams.audio)
            average, declared = stream.average_rate or stream.guessed_rate, stream.frames or None
        times, whole = self._stamps()
        self.fps = fitting_rate(times, average and Fraction(average), self.path.name)
        counted = frames_before(times[-1] - times[0], self.fps) + 1 if whole and len(times) > 1 else None
        self.num_frames = declared if declared and self.fps == average else counted
        self.height, self.width = self._converter()(first).shape[:2]

    def chunks(self, n: int = 32) -> Iterator[np.ndarray]:
        """Every frame of the file once, whatever its time: RGB uint8 [<= n, H, W, 3], fewer where they are large."""
        return stacked(map(self._converter(), self._all()), n)

    def steady(self, fps: Rate, n: int = 32, span: Span = (None, None)) -> Iterator[np.ndarray]:
        """Frames at a constant rate, by the file's time stamps, RGB uint8 [<= n, H, W, 3].

        Times count from the beginning of `span` (begin, end; seconds on the file's clock, None: the first frame's and
        the last one's end). Raises InputError for a broken clock.
        """
        rate, begin = as_rate(fps), self.start if span[0] is None else span[0]
        return stacked(_drawn(self._timed(*span), rate, begin, self._converter()), n)

    def steady_backwards(self, fps: Rate, n: int = 32, span: Span = (None, None)) -> Iterator[np.ndarray]:
        """The frames of `steady`, the last first.

        They are decoded one stretch between two key frames after the other, from the last to the first; of each stretch
        as many frames are held as fit into a fixed number of bytes, and only a longer one is gone through again.
        """
        rate, begin = as_rate(fps), self.start if span[0] is None else span[0]
        return stacked(_drawn(self._timed_backwards(*span), rate, begin, self._converter()), n)

    def _converter(self) -> RGBConverter:
        return RGBConverter(*self._size, self._turned, self._warn)

    def _stamps(self) -> tuple[list[Fraction], bool]:
        """Times of the first frames, rising, by their packets alone, and whether these are all there are."""
        times: list[Fraction | None] = []
        whole = False
        with self._opened() as container, suppress(av.FFmpegError):
            for packet in packets_of(container, container.streams[self._index]):
                self._check()
                if packet.size and not packet.is_discard:
                    times.append(_seconds(packet))
                if len(times) == _LOOKED_AT + 64:  # in the order of decoding: the last of them may lack neighbours
                    break
            else:
                whole = True
        known = sorted(time for time in times if time is not None)
        if not known or len(known) < len(times) or self._stamps_packs:
            return [self.start], False  # stamps on some frames alone tell nothing of the rate
        return known if whole else known[:_LOOKED_AT], whole

    def _stretches(self, begin: Fraction | None, end: Fraction | None) -> list[Span]:
        """Stretches of the file that can be decoded one by one, in order: each begins with a key frame."""
        times = self._key_times()
        if not times:
            return [(begin, end)]  # nowhere to seek to: one stretch
        # What lies before the first key frame, if anything, is decoded with it.
        first = min([*times, self.start]) if begin is None else begin
        keys = [first, *(key for key in sorted(set(times)) if key > first and (end is None or key < end))]
        return list(zip(keys, [*keys[1:], end], strict=True))

    def _key_times(self) -> list[Fraction]:
        """Times of the frames that decoding can begin with; found once."""
        if self._keys is None:
            with self._opened() as container:
                packets = () if self._stamps_packs else packets_of(container, container.streams[self._index])
                times = (_seconds(packet) for packet in packets if packet.is_keyframe)
                self._keys = [time for time in times if time is not None]
        return self._keys

    def _timed_backwards(self, begin: Fraction | None, end: Fraction | None) -> Iterator[_Timed]:
        """The frames of `_timed`, the last first."""
        for stretch in reversed(self._stretches(begin, end)):
            stop: int | None = None
            while stop is None or stop > 0:
                buffer, stop = self._last(stretch, stop)
                while buffer:
                    self._check()
                    yield buffer.pop()

    def _last(self, stretch: Span, stop: int | None) -> tuple[deque[_Timed], int]:
        """The last frames of a stretch before the one numbered `stop`, as many as may be held, and the first's number.

        Frames are held as they were decoded, which is half the size of RGB.
        """
        buffer: deque[_Timed] = deque()
        bytes_buffered = count = 0
        for timed in self._timed(*stretch):
            if count == stop:
                break
            buffer.append(timed)
            bytes_buffered += _size_of(timed.frame)
            count += 1
            while bytes_buffered > _BUFFER_BYTES and len(buffer) > 1:
                bytes_buffered -= _size_of(buffer.popleft().frame)
        return buffer, count - len(buffer)

    def _timed(self, begin: Fraction | None, end: Fraction | None) -> Iterator[_Timed]:
        """The frames on screen from `begin` until `end`, in order."""
        usual = 1 / self.fps
        before: _Timed | None = None
        for frame in self._all() if begin is None else self._from(begin):
            stamp = _seconds(frame)
            if before is None:
                time = self.start if stamp is None else stamp
            else:
                expected = before.begin + usual
                if stamp is None or (self._stamps_packs and abs(stamp - expected) < _JUMP):
                    stamp = expected
                time = max(stamp, before.begin)
                if time - before.begin > _LONGEST:
                    since, until = (float(moment - self.start) for moment in (before.begin, time))
                    raise InputError(
                        f"{self.path.name}: its clock jumps from {since:.1f} to {until:.1f} s; write the file again "
                        "with FFmpeg so that its time stamps are whole."
                    )
                yield from _within(before.frame, before.begin, time, begin, end)
            before = _Timed(frame, time, time)
            if end is not None and time >= end:
                return
        if before is not None:
            last = before.frame
            ticks = getattr(last, "duration", None)  # PyAV knows it from 14.3 on
            length = Fraction(ticks * last.time_base) if ticks and last.time_base else usual
            yield from _within(last, before.begin, before.begin + length, begin, end)

    def _all(self) -> Iterator[av.VideoFrame]:
        with self._opened() as container:
            yield from self._decoded(container)

    def _from(self, begin: Fraction) -> Iterator[av.VideoFrame]:
        """Frames from the one that is on screen at `begin`, or from an earlier one.

        Not every container seeks well (MPEG-TS lands behind the key frame), so where it landed is looked at.
        """
        for back in _FURTHER_BACK if self._key_times() else ():
            if begin - back <= self.start and back:
                break
            with self._opened() as container:
                stream = container.streams[self._index]
                try:
                    container.seek(int((begin - back) / stream.time_base), stream=stream, backward=True)
                except av.FFmpegError:
                    break
                frames = self._decoded(container)
                first = next(frames, None)
                time = first and _seconds(first)
                if first is not None and first.key_frame and time is not None and time <= begin:
                    yield first
                    yield from frames
                    return
        yield from self._all()

    def _opened(self) -> av.container.InputContainer:
        return open_input(self.path, "video")

    def _decoded(self, container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
        return decoded(container, container.streams[self._index], self._check, self._warn)

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            log.warning("%s %s", self.path.name, what)


def _drawn(
    frames: Iterable[_Timed],
    rate: Fraction,
    begin: Fraction,
    convert: RGBConverter,
) -> Iterator[np.ndarray]:
    """Each frame as often as it is shown at a constant rate from `begin` on."""
    for timed in frames:
        first, stop = (frames_before(time - begin, rate) for time in (timed.begin, timed.end))
        if stop > first:
            yield from repeat(convert(timed.frame), stop - first)


def _within(
    frame: av.VideoFrame, begins: Fraction, until: Fraction, begin: Fraction | None, end: Fraction | None
) -> Iterator[_Timed]:
    """The part of a frame's time that lies between `begin` and `end`, if any."""
    begins = begins if begin is None else max(begins, begin)
    until = until if end is None else min(until, end)
    if until > begins:
        yield _Timed(frame, begins, until)


def stacked(frames: Iterable[np.ndarray], n: int) -> Iterator[np.ndarray]:
    """Pictures [H, W, 3] as chunks [<= n, H, W, 3]: n at a time, or as many large ones as may be handed on at once."""
    buffer: list[np.ndarray] = []
    for frame in frames:
        buffer.append(frame)
        if len(buffer) == n or (len(buffer) + 1) * frame.nbytes > _CHUNK_BYTES:
            yield np.stack(buffer)
            buffer = []
    if buffer:
        yield np.stack(buffer)


def _go_on() -> None:
    pass


def _size_of(frame: av.VideoFrame) -> int:
    return sum(plane.buffer_size for plane in frame.planes)


def _seconds(item: av.VideoFrame | av.Packet) -> Fraction | None:
    """The time of a frame, or of that in a packet, on the file's clock, where it has one."""
    return None if item.pts is None or item.time_base is None else Fraction(item.pts * item.time_base)
