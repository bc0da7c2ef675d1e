"""Streaming audio reader: whatever FFmpeg opens (wav, flac, mp3, m4a, ogg, mp4 and so on), through PyAV.

It keeps its place on the file's clock: silence stands where there is no sound yet, and in gaps. Trims are exact to the
sample: the file is decoded from its beginning and cut, because seeking is exact in few formats.
"""

import math
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import torch
from torch import Tensor

from ..errors import InputError
from .audio_clock import on_clock
from .audio_frames import Damage, decoded_frames, stamp_of, stamped_pieces
from .container import audio_streams, film_start, open_input
from .source import AudioSource, block_size, checked, reblock, whole_rate
from .timebase import step_at

_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
# Only these state an exact length in their header; elsewhere it is a guess from the bit rate.
_EXACT_LENGTH = {"wav", "w64", "aiff", "flac", _MP4}
_LONGEST_PADDING = 4096  # samples that an encoder adds to fill its last frame: two frames of HE-AAC
_PRIMING = Fraction(50, 1000)  # seconds, of an encoder
_LOWEST_RATE = 1000
# A track is silent if nothing in so many of its first seconds is louder than this (-72 dB).
_LISTENED_TO, _SILENT = 20, 2.0**-12


class FileAudio(AudioSource):
    """The sound of a file from `start` for `duration` seconds: its default track, or the first that is not silent.

    Times count from `origin`, in seconds of the file's clock; None: from when its film or its sound begins, whichever
    is first. A file of sound alone begins with its first sample.

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
        origin: Fraction | None = None,
    ) -> None:
        self.path = self._file = Path(path)
        self.name = self.path.name
        if not (math.isfinite(start) and start >= 0):
            raise InputError(f"start of {start} s: audio starts at 0; give zero or more seconds")
        if duration is not None and not (math.isfinite(duration) and duration > 0):
            raise InputError(f"duration of {duration} s: give more than zero seconds, or none for all that follows")
        self._check = check or _go_on
        self._warned = False
        self._num_samples: int | None = None
        self._index = self._heard_track()
        damage = Damage()
        with self._opened() as container, closing(self._frames(container, self._index, damage)) as frames:
            first = next(frames, None)
            film = film_start(container)
            # Where nothing decodes, PyAV may know no codec to ask.
            lossy = first is not None and container.streams[self._index].codec_context.codec.lossy
        if first is None:
            why = f" ({type(damage.error).__name__})" if damage.error else ""
            raise InputError(
                f"{self.name} holds no sound that decodes{why}: it is empty, cut off or not what its name says"
            )
        self.sample_rate, self.channels = whole_rate(first.sample_rate, self.name), first.layout.nb_channels
        if self.sample_rate < _LOWEST_RATE:
            raise InputError(f"{self.name} is at {self.sample_rate} Hz, which is no sound; is its header damaged?")
        self.layout = first.layout.name
        ticks, tick = stamp_of(first) or (0, Fraction(0))
        self._begins = begins = ticks * tick
        film = begins if film is None else film
        # What lossy sound has before its film is what its encoder put there, in containers that cannot say so.
        primed = lossy and 0 < film - begins <= _PRIMING
        self._origin = origin if origin is not None else film if primed else min(begins, film)
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

    def _heard_track(self) -> int:
        """Index of the stream that is read."""
        with self._opened() as container:
            tracks = [stream.index for stream in audio_streams(container, self.name)]
        chosen = tracks[0]
        if len(tracks) > 1:
            chosen = next((index for index in tracks if self._is_heard(index)), chosen)
        if chosen != tracks[0]:
            silent, taken = (1 + sorted(tracks).index(index) for index in (tracks[0], chosen))
            self.warn(f"has {len(tracks)} sound tracks: number {silent} is silent, number {taken} is taken")
        return chosen

    def _is_heard(self, index: int) -> bool:
        damage, seconds = Damage(), 0.0
        with self._opened() as container, closing(self._frames(container, index, damage)) as frames:
            for frame in frames:
                if any(piece.abs().max() > _SILENT for _, piece in stamped_pieces([frame], damage)):
                    return True
                seconds += frame.samples / frame.sample_rate
                if seconds > _LISTENED_TO:
                    return False
        return False

    def _trimmed(self) -> Iterator[Tensor]:
        """Pieces [C, n], n > 0, of what lies between start and stop."""
        position = 0
        for piece in self._decoded():
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
        """Pieces [C, n] of the whole sound, without the silence that pads the codec's last frame."""
        damage = Damage()
        with self._opened() as container:
            stream, promised = container.streams[self._index], None
            if container.format.name in _EXACT_LENGTH and stream.duration:
                begins = self._begins if stream.start_time is None else stream.start_time * stream.time_base
                promised = step_at(begins + stream.duration * stream.time_base - self._origin, self.sample_rate)
            padded = container.format.name == _MP4 and stream.codec_context.codec.lossy
            total, tail = 0, list[Tensor]()
            pieces = stamped_pieces(self._frames(container, self._index, damage), damage)
            for piece in on_clock(pieces, self.sample_rate, self._origin, self.warn):
                begin, total = total, total + piece.shape[1]
                if padded and promised is not None and total > promised:
                    kept = max(promised - begin, 0)
                    tail.append(piece[:, kept:])
                    piece = piece[:, :kept]
                    if total - promised > _LONGEST_PADDING:  # the header was wrong, the sound is right
                        padded, piece = False, torch.cat([piece, *tail], dim=1)
                if piece.shape[1]:
                    yield piece
        self._tell(damage, total, promised)

    def _opened(self) -> av.container.InputContainer:
        return open_input(self._file, "audio")

    def _frames(
        self, container: av.container.InputContainer, index: int, damage: Damage
    ) -> Generator[av.AudioFrame, None, None]:
        return decoded_frames(container, index, damage, self._check)

    def _tell(self, damage: Damage, total: int, promised: int | None) -> None:
        if self._warned:
            return
        if damage.packets:
            self.warn(f"is damaged: {damage.packets} packets did not decode and were left out")
        elif promised is not None and total < promised - self.sample_rate // 4:
            seconds, whole = total / self.sample_rate, promised / self.sample_rate
            self.warn(f"is cut off: {seconds:.2f} s of the {whole:.2f} s in its header are there")
        self._warned = True


def _go_on() -> None:
    pass
