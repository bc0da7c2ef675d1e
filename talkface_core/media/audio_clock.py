"""Decoded sound put in its place by its time stamps: silence before a late beginning and in gaps, no overlaps.

Stamps are rounded and jitter, recorders lose packets, clocks drift. So a stamp that leaves the count of samples is
believed where it is far off and the next one agrees. A gap that opens at once becomes silence between short fades; one
that grew bit by bit is made up for by stretching what follows, too little to be heard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

Stamp = tuple[int, Fraction]
"""A time on the file's clock: ticks, and the seconds of one."""

Stamped = tuple[Stamp | None, Tensor]
"""The time of the first sample, where it is known, and samples [C, n]."""

_SLACK = Fraction(30, 1000)  # seconds; nobody sees or hears 40
_SETTLED = Fraction(5, 1000)  # where a drift has been made up for
_FADE = Fraction(5, 1000)
_STRETCH = 100  # one sample more or less in so many: for a few seconds the pitch is 1 % off
# Seconds. Beyond these the clock has jumped, not the sound: recordings joined end to end begin anew.
_LONGEST_GAP, _LONGEST_OVERLAP = 3600, 1


def on_clock(pieces: Iterable[Stamped], rate: int, origin: Fraction, warn: Callable[[str], None]) -> Iterator[Tensor]:
    """Pieces [C, n], n > 0, one after the other without gaps; sample 0 is heard at `origin`, in seconds of the clock.

    Sound from before is left out. `warn` is told where the clock jumps so far that it cannot be followed.
    """
    place = _Place(rate, origin, warn)
    for piece, after in pairwise(chain(pieces, [None])):
        if piece is not None:
            yield from place.put(piece, after)
    yield from place.end()


class _Place:
    """How far the sound has got, in samples. The last piece is held back, to be faded out or joined to the next."""

    def __init__(self, rate: int, origin: Fraction, warn: Callable[[str], None]) -> None:
        self._rate, self._warn = rate, warn
        self._clock = _Clock(rate, origin)
        self._slack, self._settled, self._fade = (math.ceil(part * rate) for part in (_SLACK, _SETTLED, _FADE))
        self._tail = torch.zeros(0, 0)
        self._done = 0
        self._next = 0  # where the next piece begins by the stamps so far
        self._jumps = 0  # of the clock, taken out
        self._drifts = self._overlaps = False

    def put(self, piece: Stamped, after: Stamped | None) -> Iterator[Tensor]:
        stamp, samples = piece
        length = samples.shape[1]
        begins = self._next if stamp is None else self._clock(stamp) - self._jumps
        apart = begins - self._done
        if apart > _LONGEST_GAP * self._rate or (self._done and apart < -_LONGEST_OVERLAP * self._rate):
            self._warn(f"has a clock that jumps by {apart / self._rate:.1f} s; what follows is joined on")
            self._jumps += apart
            begins, apart = self._done, 0
        if not self._done:
            yield from self._silence(apart, samples)
            samples = samples[:, max(-apart, 0) :]
        elif self._fits(apart):
            self._drifts = self._overlaps = False
        elif not (self._drifts or self._overlaps) and self._agrees(after, length):
            begins = self._done  # this stamp alone is off
        elif self._drifts or (not self._overlaps and abs(begins - self._next) <= self._slack // 2):
            self._drifts = True
            samples = self._stretched(samples, apart)
        elif apart > 0:
            self._tail, samples = self._faded(self._tail, samples)
            yield from self._silence(apart, samples)
        else:
            samples = self._joined(samples, -apart)
        self._next = begins + length
        yield from self._hold(samples)

    def end(self) -> Iterator[Tensor]:
        """What is held back."""
        if self._done:
            yield self._tail

    def _fits(self, apart: int) -> bool:
        if self._drifts:
            return abs(apart) <= self._settled
        return (0 if self._overlaps else -self._slack) <= apart <= self._slack

    def _agrees(self, after: Stamped | None, length: int) -> bool:
        """Whether the next stamp fits the count of samples."""
        if after is None or after[0] is None:
            return False
        return abs(self._clock(after[0]) - self._jumps - self._done - length) <= self._slack

    def _hold(self, samples: Tensor) -> Iterator[Tensor]:
        if samples.shape[1]:
            yield from self.end()
            self._tail = samples
            self._done += samples.shape[1]

    def _silence(self, count: int, like: Tensor) -> Iterator[Tensor]:
        for _ in range(0, count, self._rate):
            yield from self._hold(like.new_zeros(len(like), min(count, self._rate)))
            count -= self._rate

    def _faded(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """The end of one piece and the beginning of another, each brought to silence."""
        out, into = (min(self._fade, piece.shape[1]) for piece in (before, after))
        before, after = before.clone(), after.clone()
        before[:, before.shape[1] - out :] *= _rise(out).flip(0)
        after[:, :into] *= _rise(into)
        return before, after

    def _joined(self, samples: Tensor, count: int) -> Tensor:
        """What is new in a piece of which `count` samples are there already; the held piece passes over into it."""
        self._overlaps = count >= samples.shape[1]
        if self._overlaps:
            return samples[:, :0]
        mixed = min(self._fade, count, self._tail.shape[1])
        tail, ramp = self._tail.clone(), _rise(mixed)
        old = tail[:, tail.shape[1] - mixed :]
        old += (samples[:, count - mixed : count] - old) * ramp
        self._tail = tail
        return samples[:, count:]

    def _stretched(self, samples: Tensor, apart: int) -> Tensor:
        length = samples.shape[1]
        most = max(1, length // _STRETCH)
        size = max(1, length + min(max(apart, -most), most))
        return F.interpolate(samples[None], size=size, mode="linear", align_corners=True)[0]


class _Clock:
    """The sample that is nearest to a stamp, a tie being the later one's. In whole numbers: there are many stamps."""

    def __init__(self, rate: int, origin: Fraction) -> None:
        self._rate, self._offset = rate, Fraction(1, 2) - origin * rate
        self._tick: Fraction | None = None
        self._factor, self._shift, self._divisor = 0, 0, 1

    def __call__(self, stamp: Stamp) -> int:
        ticks, tick = stamp
        if tick != self._tick:
            self._tick, samples = tick, tick * self._rate
            self._divisor = math.lcm(samples.denominator, self._offset.denominator)
            self._factor, self._shift = (int(part * self._divisor) for part in (samples, self._offset))
        return (ticks * self._factor + self._shift) // self._divisor


def _rise(count: int) -> Tensor:
    """From silence to full, both left out: [count] between 0 and 1."""
    return torch.linspace(0, 1, count + 2)[1:-1]
