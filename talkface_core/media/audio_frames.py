"""Packets of sound to float samples, whatever their format; what is damaged is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

import av
import torch
from torch import Tensor

from .audio_clock import Stamp, Stamped
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
) -> Generator[av.AudioFrame, None, None]:
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
        except (av.FFmpegError, ValueError, NotImplementedError) as error:
            damage.add(error)
            continue
        for frame in frames:
            if isinstance(frame, av.AudioFrame) and frame.samples and frame.sample_rate and frame.layout.nb_channels:
                yield frame


def stamped_pieces(frames: Iterable[av.AudioFrame], damage: Damage) -> Iterator[Stamped]:
    """Frames as float32 [C, n] with the times of their first samples; one that changes rate or channels midway is
    brought to what the first one has."""
    convert: _Converter | None = None
    for frame in frames:
        convert, stamp = convert or _Converter(frame, damage), stamp_of(frame)
        for piece in convert(frame):
            yield stamp, piece
            stamp = None
    if convert is not None:
        for piece in convert.rest():
            yield None, piece


class _Converter:
    """Frames to samples [C, n] of the first one's rate and layout. What cannot be converted is counted as damage."""

    def __init__(self, first: av.AudioFrame, damage: Damage) -> None:
        self._layout, self._rate, self._channels = first.layout.name, first.sample_rate, first.layout.nb_channels
        self._damage = damage
        self._source: tuple[str, int, str] | None = None
        self._resampler: av.AudioResampler | None = None

    def __call__(self, frame: av.AudioFrame) -> list[Tensor]:
        # PyAV reads past the planes of a frame that has eight of them; packed samples are safe.
        risky = frame.layout.nb_channels >= _MOST_PLANES and frame.format.is_planar
        same = frame.sample_rate == self._rate and frame.layout.nb_channels == self._channels
        if self._resampler is None and same and not risky:
            return self._samples([frame])
        source = frame.format.name, frame.sample_rate, frame.layout.name
        pieces = [] if source == self._source else self.rest()
        if self._resampler is None:
            self._source = source
            self._resampler = av.AudioResampler(format="flt", layout=self._layout, rate=self._rate)
        frame.pts = None
        return pieces + self._resampled(self._resampler, frame)

    def rest(self) -> list[Tensor]:
        """What the resampler still holds."""
        resampler, self._resampler, self._source = self._resampler, None, None
        return [] if resampler is None else self._resampled(resampler, None)

    def _resampled(self, resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[Tensor]:
        try:
            return self._samples(resampler.resample(frame))
        except (av.FFmpegError, ValueError, NotImplementedError) as error:
            self._damage.add(error)
            return []

    def _samples(self, frames: list[av.AudioFrame]) -> list[Tensor]:
        try:
            return [_planes_of(frame) for frame in frames]
        except (ValueError, NotImplementedError) as error:
            self._damage.add(error)
            return []


def stamp_of(frame: av.AudioFrame) -> Stamp | None:
    """The time of a frame's first sample on the file's clock, where it has one."""
    ticks, tick = frame.pts, frame.time_base
    return None if ticks is None or tick is None else (ticks, tick)


def _planes_of(frame: av.AudioFrame) -> Tensor:
    samples = torch.from_numpy(frame.to_ndarray())
    return to_float(samples if frame.format.is_planar else interleaved(samples[0], frame.layout.nb_channels))
