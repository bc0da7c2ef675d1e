"""Sound out of a file, as a stream: whatever FFmpeg opens (wav, flac, mp3, m4a, ogg, mp4 and so on), through PyAV.

Trims are exact to the sample: the file is decoded from its beginning and cut, because seeking is exact in few formats.
"""

import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from ..errors import InputError
from .container import open_input
from .source import AudioSource, block_size, checked, interleaved, reblock, to_float
from .timebase import step_at

log = logging.getLogger(__name__)

_MOST_PLANES = 8
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
# Only these state an exact length in their header; elsewhere it is a guess from the bit rate.
_EXACT_LENGTH = {"wav", "w64", "aiff", "flac", _MP4}
_LONGEST_PADDING = 4096  # samples that an encoder adds to fill its last frame: two frames of HE-AAC


class FileAudio(AudioSource):
    """The first audio stream of a file, from `start` for `duration` seconds.

    A damaged packet is left out and a cut-off file ends early; both are logged as a warning, because the sound that
    remains is analysed and muxed alike and stays in sync. A file of which nothing decodes is an InputError.

    `check` is called again and again while the file is decoded, also before `start`; what it raises stops the reading.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        start: float = 0.0,
        duration: float | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.name
        if not (math.isfinite(start) and start >= 0):
            raise InputError(f"start of {start} s: audio starts at 0; give zero or more seconds")
        if duration is not None and not (math.isfinite(duration) and duration > 0):
            raise InputError(f"duration of {duration} s: give more than zero seconds, or none for all that follows")
        self._check = check
        self._warned = False
        self._num_samples: int | None = None
        with _opened(self.path) as container:
            first = next(decoded_frames(container, self.name, Damage()), None)
        if first is None:
            raise InputError(f"{self.name} holds no sound that decodes: it is empty, cut off or not what its name says")
        self.sample_rate, self.channels = first.sample_rate, first.layout.nb_channels
        self._layout = first.layout.name
        self._start = step_at(Fraction(start), self.sample_rate)
        length = None if duration is None else max(1, step_at(Fraction(duration), self.sample_rate))
        self._stop = None if length is None else self._start + length
        next(self.blocks())  # a start after the end, or NaN in the first second, is told now

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        total = 0
        for block in reblock(self._trimmed(), block_size(seconds, self.sample_rate)):
            total += block.shape[1]
            yield checked(block, self.name)
        self._num_samples = total

    def num_samples(self) -> int:
        if self._num_samples is None:
            self._num_samples = sum(piece.shape[1] for piece in self._trimmed())
        return self._num_samples

    def _trimmed(self) -> Iterator[Tensor]:
        """Pieces [C, n], n > 0, of what lies between start and stop."""
        position = 0
        for piece in self._decoded():
            if self._check is not None:
                self._check()
            begin, position = position, position + piece.shape[1]
            stop = position if self._stop is None else min(self._stop, position)
            if stop > max(begin, self._start):
                yield piece[:, max(self._start - begin, 0) : stop - begin]
            if self._stop is not None and position >= self._stop:
                return
        if position <= self._start:
            at, length = self._start / self.sample_rate, position / self.sample_rate
            raise InputError(f"start of {at:g} s lies after the end of {self.name}, which is {length:.3f} s long")

    def _decoded(self) -> Iterator[Tensor]:
        """Pieces [C, n] of the whole stream, without the silence that pads the codec's last frame."""
        damage = Damage()
        with _opened(self.path) as container:
            stream = container.streams.audio[0]
            promised = None
            if container.format.name in _EXACT_LENGTH and stream.duration:
                promised = step_at(stream.duration * stream.time_base, self.sample_rate)
            padded = promised is not None and container.format.name == _MP4 and stream.codec_context.codec.lossy
            total, tail = 0, []
            for piece in self._planes(container, damage):
                begin, total = total, total + piece.shape[1]
                if padded and total > promised:
                    kept = max(promised - begin, 0)
                    tail.append(piece[:, kept:])
                    piece = piece[:, :kept]
                    if total - promised > _LONGEST_PADDING:  # the header was wrong, the sound is right
                        padded, piece = False, torch.cat([piece, *tail], dim=1)
                if piece.shape[1]:
                    yield piece
        self._warn(damage, total, promised)

    def _planes(self, container: av.container.InputContainer, damage: "Damage") -> Iterator[Tensor]:
        """Float planes; a stream that changes rate or channels midway is brought to what it began with."""
        convert = None
        for frame in decoded_frames(container, self.name, damage):
            same = (frame.sample_rate, frame.layout.nb_channels) == (self.sample_rate, self.channels)
            # PyAV reads past the planes of a frame that has eight of them; packed samples are safe.
            risky = frame.format.is_planar and frame.layout.nb_channels >= _MOST_PLANES
            if convert is not None or risky or not same:
                convert = convert or Converter(self._layout, self.sample_rate)
                yield from map(_planes_of, convert(frame))
            else:
                yield _planes_of(frame)
        if convert is not None:
            yield from map(_planes_of, convert(None))

    def _warn(self, damage: "Damage", total: int, promised: int | None) -> None:
        if self._warned:
            return
        if damage.packets:
            log.warning("%s is damaged: %d packets did not decode and were left out", self.name, damage.packets)
        elif promised is not None and total < promised - self.sample_rate // 4:
            seconds, whole = total / self.sample_rate, promised / self.sample_rate
            log.warning("%s is cut off: %.2f s of the %.2f s in its header are there", self.name, seconds, whole)
        self._warned = True


@dataclass
class Damage:
    """What did not decode while a stream was read: a number of packets."""

    packets: int = 0


class Converter:
    """Frames of any format, rate and layout to packed floats of one rate and layout; None gives what is left."""

    def __init__(self, layout: str, rate: int) -> None:
        self._target = {"format": "flt", "layout": layout, "rate": rate}
        self._source: tuple[str, int, str] | None = None
        self._resampler: av.AudioResampler | None = None

    def __call__(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        source = frame and (frame.format.name, frame.sample_rate, frame.layout.name)
        frames = []
        if self._resampler is not None and source != self._source:
            frames += self._resampler.resample(None)
        if frame is None:
            return frames
        if source != self._source:
            self._source, self._resampler = source, av.AudioResampler(**self._target)
        frame.pts = None
        return frames + self._resampler.resample(frame)


def _opened(path: Path) -> av.container.InputContainer:
    container = open_input(path, "audio")
    if not container.streams.audio:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        container.close()
        raise InputError(f"{path.name} has no audio stream (found: {kinds}); give a file with sound")
    return container


def decoded_frames(container: av.container.InputContainer, name: str, damage: Damage) -> Iterator[av.AudioFrame]:
    """The frames with sound of a container's first audio stream. What is damaged is left out and counted.

    Raises InputError that calls the file `name` where FFmpeg has no decoder.
    """
    packets = container.demux(container.streams.audio[0])
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:  # the container breaks off in the middle of its structure
            damage.packets += 1
            return
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            damage.packets += 1
            continue
        except (av.error.DecoderNotFoundError, NotImplementedError) as error:
            raise InputError(f"{name}: this build of FFmpeg has no decoder for its sound; convert it to wav") from error
        yield from (frame for frame in frames if frame.samples)


def _planes_of(frame: av.AudioFrame) -> Tensor:
    samples = torch.from_numpy(frame.to_ndarray())
    return to_float(samples if frame.format.is_planar else interleaved(samples[0], frame.layout.nb_channels))
