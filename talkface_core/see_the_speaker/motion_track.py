"""The motion of a film's frames, at the film's rate, out of a stream at the model's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate, as_rate
from ..sequences import StreamBuffer, sample_at
from .motion import Motion


class MotionTrack:
    """The motion of a film's frames, at the film's rate, from a stream at the model's.

    Frames rise; what was asked for last can be asked for again, what lies before that is gone. Beyond the sound and the
    two seconds behind it the last motion holds. Raises InputError as `stream_motion` does.
    """

    def __init__(self, motions: Iterable[Motion], fps: Rate) -> None:
        self.fps = as_rate(fps)
        self._source: Fraction | None = None
        self._rows = StreamBuffer(self._values(motions))
        self._first = 0

    def at(self, first: int, stop: int) -> Motion:
        """Motion of frames first to stop - 1 of the film."""
        if first < self._first or stop <= first:
            raise InputError(f"frames {first} to {stop - 1} of a motion that has gone on to {self._first}.")
        # The rate is known once the first motion has come.
        self._rows.read(0 if self._source is None else self._floor(self._first), 1)
        if self._source is None:
            raise InputError("there is no sound to move a face by.")
        self._first = first
        places = [self._place(k) for k in range(first, stop)]
        rows, begin = self._rows.read(max(int(places[0]), 0), int(places[-1]) + 2)
        at = torch.tensor([float(place - begin) for place in places], dtype=torch.float64)
        return Motion.from_values(sample_at(cast(Tensor, rows), at), self.fps)

    def _place(self, frame: int) -> Fraction:
        return Fraction(2 * frame + 1, 2) * cast(Fraction, self._source) / self.fps - Fraction(1, 2)

    def _floor(self, frame: int) -> int:
        return max(int(self._place(frame)), 0)

    def _values(self, motions: Iterable[Motion]) -> Iterator[Tensor]:
        for motion in motions:
            self._source = as_rate(motion.fps)
            yield motion.values()
