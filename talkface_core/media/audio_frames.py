"""Packets of sound to float samples, whatever their format; what is damaged is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

import av
import torch
from torch import Tensor

from .audio_clock import Stamped
from .container import packets_of
from .source import interleaved, to_float

_MOST_PLANES = 8


@dataclass
class Damage:
    """What did not decode while a stream was read: a number of packets, and the error of the last of them."""

    packets: int = 0
    error: Exception | None = None

    def add(self, error: Exception) -> None:
        self.packets, self.error = self.packets + 1, error


def decoded_frames(
    container: av.container.InputContainer, index: int, damage: Damage, check: Callable[[], None]
) -> Iterator[av.AudioFrame]:
    """The frames with sound of the stream `index` of a container; what does not decode is left out and counted.

    `check` is called before each packet.
    """
    packets = packets_of(container, container.streams[index])
    while True:
        check()
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, NotImplementedError) as error:  # the container breaks off in the middle
            damage.add(error)
            return
        try:
            frames = packet.decode()
        except (av.FFmpegError, NotImplementedError) as error:
            damage.add(error)
            continue
        yield from (frame for frame in frames if frame.samples and frame.sample_rate and frame.layout.nb_channels)


def stamped_pieces(frames: Iterable[av.AudioFrame], damage: Damage) -> Iterator[Stamped]:
    """Frames as float32 [C, n] with the times of their first samples; one that changes rate or channels midway is
    brought to what the first one has."""
    first: av.AudioFrame | None = None
    convert: Converter | None = None
    for frame in chain(frames, [None]):
        first, stamp, pieces = first or frame, frame and seconds_of(frame), []
        try:
            if frame is not None and convert is None and _differs(frame, first):
                convert = Converter(first.layout.name, first.sample_rate)
            made = convert(frame) if convert is not None else [frame] if frame is not None else []
            pieces = [_planes_of(part) for part in made]
        except (av.FFmpegError, ValueError, NotImplementedError) as error:
            damage.add(error)
        for piece in pieces:
            yield stamp, piece
            stamp = None


def _differs(frame: av.AudioFrame, first: av.AudioFrame) -> bool:
    """Whether a frame must be converted."""
    # PyAV reads past the planes of a frame that has eight of them; packed samples are safe.
    risky = frame.format.is_planar and frame.layout.nb_channels >= _MOST_PLANES
    return risky or (frame.sample_rate, frame.layout.nb_channels) != (first.sample_rate, first.layout.nb_channels)


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


def seconds_of(frame: av.AudioFrame) -> Fraction | None:
    """The time of a frame's first sample on the file's clock, where it has one."""
    return None if frame.pts is None or frame.time_base is None else Fraction(frame.pts * frame.time_base)


def _planes_of(frame: av.AudioFrame) -> Tensor:
    samples = torch.from_numpy(frame.to_ndarray())
    return to_float(samples if frame.format.is_planar else interleaved(samples[0], frame.layout.nb_channels))
