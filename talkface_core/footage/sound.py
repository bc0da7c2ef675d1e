"""The sound of a film on the clock of its pictures: sample n is heard at n / rate seconds after the first frame.

Sound and pictures of a file need not begin together, and what was lost while recording leaves gaps. Both stand in the
time stamps; decoded samples put one after another would drift from the lips.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.audio import analysis_blocks
from ..media.container import open_input
from ..media.decode import Converter, Damage, decoded_frames
from ..media.source import AudioSource, block_size, checked, interleaved, reblock
from ..media.timebase import SAMPLE_RATE, step_at

# Containers that count in milliseconds move every piece of sound by up to half of one; lips do not mind 20.
_SLACK = Fraction(20, 1000)
_LONGEST = 3600  # seconds of silence that are believed


class ClockedSound(AudioSource):
    """The first audio stream of a file by its time stamps, from `origin` seconds of the file's clock on.

    Sound from before is left out; silence stands where there is none yet, and in gaps. Damaged packets become silence.
    Raises InputError for a file without sound that decodes.
    """

    def __init__(self, path: str | Path, origin: Fraction = Fraction(0)) -> None:
        self.path, self.origin = Path(path), Fraction(origin)
        self.name = self.path.name
        first = next(self._frames(), None)
        if first is None:
            raise InputError(f"{self.name} has no sound that decodes; use footage with sound.")
        self.sample_rate, self.channels = first.sample_rate, first.layout.nb_channels
        self._layout = first.layout.name

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        for block in reblock(self._placed(), block_size(seconds, self.sample_rate)):
            yield checked(block, self.name)

    def num_samples(self) -> int:
        return sum(piece.shape[1] for piece in self._placed())

    def _placed(self) -> Iterator[Tensor]:
        """Pieces [C,n] that follow each other without gaps, from sample 0 on."""
        done, slack = 0, math.ceil(_SLACK * self.sample_rate)
        for seconds, piece in self._pieces():
            begins = done if seconds is None else step_at(seconds - self.origin, self.sample_rate)
            apart = begins - done
            if done == 0 or abs(apart) > slack:
                if apart > _LONGEST * self.sample_rate:
                    raise InputError(
                        f"{self.name}: its sound jumps by {apart / self.sample_rate:.0f} s; write it again with FFmpeg."
                    )
                if apart > 0:
                    yield from torch.zeros(self.channels, apart).split(self.sample_rate, dim=1)
                    done += apart
                piece = piece[:, max(-apart, 0) :]
            if piece.shape[1]:
                done += piece.shape[1]
                yield piece

    def _pieces(self) -> Iterator[tuple[Fraction | None, Tensor]]:
        """Decoded sound [C,n] of one rate and number of channels, with the time of its first sample."""
        convert = Converter(self._layout, self.sample_rate)
        for frame in chain(self._frames(), [None]):
            stamp = None if frame is None or frame.pts is None else Fraction(frame.pts * frame.time_base)
            for made in convert(frame):
                packed = torch.from_numpy(made.to_ndarray()[0])
                yield stamp, interleaved(packed, self.channels)
                stamp = None

    def _frames(self) -> Iterator[av.AudioFrame]:
        with open_input(self.path, "audio") as container:
            if container.streams.audio:
                yield from decoded_frames(container, self.name, Damage())


def mono_blocks(source: AudioSource) -> Iterator[NDArray[np.float32]]:
    """The sound as the models hear it: mono, 16 kHz, blocks [n] of about a second."""
    for block in analysis_blocks(source, SAMPLE_RATE):
        yield block.numpy()


class SampleReader:
    """Stretches out of blocks that come in order; holds a stretch and a block at most."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = iter(blocks)
        self._held = np.zeros(0, np.float32)
        self._begins = 0

    def take(self, start: int, stop: int) -> NDArray[np.float32]:
        """Samples [stop - start], silence after the end. Each `start` must be no less than the one before."""
        return self.take_heard(start, stop)[0]

    def take_heard(self, start: int, stop: int) -> tuple[NDArray[np.float32], int]:
        """The same, and how many of them come before the sound's end."""
        if start < self._begins:
            raise ValueError(f"sample {start} has gone by, {self._begins} is the first that is held")
        parts = [self._held]
        length = len(self._held)
        while self._begins + length < stop:
            block = next(self._blocks, None)
            if block is None:
                break
            # What lies before the stretch is dropped as it comes, not when all of it is there.
            if self._begins + length + len(block) <= start:
                self._begins += length + len(block)
                parts, length = [], 0
                continue
            parts.append(block)
            length += len(block)
        joined = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        self._held = joined[max(start - self._begins, 0) :]
        self._begins = max(start, self._begins)
        found = self._held[: stop - start]
        return np.pad(found, (0, stop - start - len(found))), len(found)


def loudness(blocks: Iterable[NDArray[np.float32]], frames: int, fps: int) -> NDArray[np.float32]:
    """Level of the sound in each of `frames` frames, dB of full scale, at least -100; where there is none, -inf.

    blocks: mono at 16 kHz; the rate is a multiple of `fps`.
    """
    size = SAMPLE_RATE // fps
    reader = SampleReader(blocks)
    levels = np.full(frames, -np.inf, np.float32)
    for start in range(0, frames, fps):
        stop = min(start + fps, frames)
        samples, heard = reader.take_heard(start * size, stop * size)
        power = np.square(samples.reshape(-1, size), dtype=np.float64).mean(1)
        levels[start:stop] = 10 * np.log10(np.maximum(power, 1e-10))
        levels[start + -(-heard // size) : stop] = -np.inf
    return levels
