"""Sound that comes while it is worked on: from a file at the speed of its own time, or out of a pipe.

Whatever it comes from, it comes in chunks with the moment of their arrival. `LiveSound` hands them on to what hears,
keeps them for what writes the sound track, and remembers when which sample came.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction

from torch import Tensor

from .source import AudioSource, block_size, reblock

Chunk = tuple[Tensor, float]
"""Samples [C, n], and when they came, on the clock of `time.monotonic`."""

_REMEMBERED = 30.0  # seconds of sound of which it is known when they came
_PLAYED = 0.02  # seconds of a chunk of a file


class LiveSound(AudioSource):
    """An audio source that is read once, as it comes; `track` is the same sound again, for the sound track.

    `chunks` are of one number of channels, at `sample_rate`.
    """

    def __init__(
        self, chunks: Iterable[Chunk], sample_rate: int, channels: int, name: str, layout: str | None = None
    ) -> None:
        self.sample_rate, self.channels, self.name, self.layout = sample_rate, channels, name, layout
        self.track = _Kept(self)
        self.kept: deque[Tensor] = deque()
        self.samples = 0
        self._chunks, self._began = chunks, 0.0
        self._totals: list[int] = []
        self._moments: list[float] = []

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        return reblock(self._arriving(), block_size(seconds, self.sample_rate))

    def num_samples(self) -> int:
        """How many have come so far."""
        return self.samples

    def came(self, seconds: Fraction | float) -> float:
        """When the sound came as far as this time of its own; the last arrival for what has not come."""
        place = bisect_left(self._totals, seconds * self.sample_rate)
        return self._moments[min(place, len(self._moments) - 1)]

    def behind(self, seconds: Fraction | float) -> float:
        """For how long work could have gone on that needs the sound as far as `seconds`; at most 0: it is in time.

        It counts from when that came, or would have come at the speed of sound's own time: what a pipe hands over
        faster need not be worked off faster.
        """
        return time.monotonic() - max(self.came(seconds), self._began + float(seconds))

    def _arriving(self) -> Iterator[Tensor]:
        for chunk, moment in self._chunks:
            if not self._totals:
                self._began = moment - chunk.shape[1] / self.sample_rate
            self.samples += chunk.shape[1]
            self._totals.append(self.samples)
            self._moments.append(moment)
            if self._totals[0] < self.samples - 2 * _REMEMBERED * self.sample_rate:
                gone = bisect_left(self._totals, self.samples - _REMEMBERED * self.sample_rate)
                del self._totals[:gone], self._moments[:gone]
            self.kept.append(chunk)
            yield chunk


class _Kept(AudioSource):
    """What has come of a live sound and was not read here yet. Who reads further than that has reached its end."""

    def __init__(self, live: LiveSound) -> None:
        self._live = live
        self.sample_rate, self.channels, self.layout, self.name = (
            live.sample_rate,
            live.channels,
            live.layout,
            live.name,
        )

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        while self._live.kept:
            yield self._live.kept.popleft()

    def num_samples(self) -> int:
        return self._live.samples


def played(source: AudioSource) -> Iterator[Chunk]:
    """The sound of a source at the speed of its own time: each chunk when its last sample would have been spoken."""
    began, samples = time.monotonic(), 0
    for chunk in source.blocks(_PLAYED):
        samples += chunk.shape[1]
        moment = began + samples / source.sample_rate
        if (wait := moment - time.monotonic()) > 0:
            time.sleep(wait)
        yield chunk, moment
