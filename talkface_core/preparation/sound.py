"""The sound of a video beside its pictures: stretches of it in order, and its level in each frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ..media.audio import analysis_blocks
from ..media.source import AudioSource
from ..media.timebase import SAMPLE_RATE


def mono_blocks(source: AudioSource) -> Iterator[NDArray[np.float32]]:
    """The sound as the models hear it: mono, 16 kHz, blocks [n] of about a second."""
    for block in analysis_blocks(source, SAMPLE_RATE):
        yield block.numpy()


class SampleReader:
    """Stretches out of blocks that come in order; holds a stretch and a block at most."""

    def __init__(self, blocks: Iterable[NDArray[np.float32]]) -> None:
        self._blocks = iter(blocks)
        self._buffer = np.zeros(0, np.float32)
        self._begins = 0

    def take(self, start: int, stop: int) -> NDArray[np.float32]:
        """Samples [stop - start], silence after the end. Each `start` must be no less than the one before."""
        return self.take_available(start, stop)[0]

    def take_available(self, start: int, stop: int) -> tuple[NDArray[np.float32], int]:
        """The same, and how many of them come before the sound's end."""
        if start < self._begins:
            raise ValueError(f"sample {start} has gone by, {self._begins} is the first that is held")
        parts = [self._buffer]
        length = len(self._buffer)
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
        self._buffer = joined[max(start - self._begins, 0) :]
        self._begins = max(start, self._begins)
        samples = self._buffer[: stop - start]
        return np.pad(samples, (0, stop - start - len(samples))), len(samples)


def loudness(blocks: Iterable[NDArray[np.float32]], frames: int, fps: int) -> NDArray[np.float32]:
    """Level of the sound in each of `frames` frames, dB of full scale, at least -100; where there is none, -inf.

    blocks: mono at 16 kHz; the rate is a multiple of `fps`.
    """
    size = SAMPLE_RATE // fps
    reader = SampleReader(blocks)
    levels = np.full(frames, -np.inf, np.float32)
    for start in range(0, frames, fps):
        stop = min(start + fps, frames)
        samples, available = reader.take_available(start * size, stop * size)
        power = np.square(samples.reshape(-1, size), dtype=np.float64).mean(1)
        levels[start:stop] = 10 * np.log10(np.maximum(power, 1e-10))
        levels[start + -(-available // size) : stop] = -np.inf
    return levels
