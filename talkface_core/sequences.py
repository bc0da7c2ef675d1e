"""Sequences of any length in bounded memory: windows that overlap and crossfade, a buffered stream, other frame rates.

Source: ours. A network that was trained on clips of a few seconds is run window by window; neighbours share `overlap`
frames, over which the new window is faded in. A sequence is any tensor [T, ...]: latents, landmarks, poses, motions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import torch
from torch import Tensor

from .errors import InputError
from .media.timebase import Rate, as_rate


def windows(total: int, window: int, overlap: int) -> Iterator[tuple[int, int]]:
    """(first, stop) of the windows that cover `total` frames, each at least `overlap` frames into the one before.

    All have `window` frames, or all `total` where those are fewer; the last moves back so that it too has them.
    Raises InputError unless 0 < overlap <= window / 2.
    """
    if not 0 < overlap <= window // 2:
        raise InputError(f"overlap of {overlap} frames does not fit windows of {window}: give 1 to {window // 2}")
    first, stop = 0, 0
    while stop < total:
        stop = min(first + window, total)
        yield first, stop
        first = min(stop - overlap, max(total - window, 0))


def windowed(run: Callable[[int, int], Tensor], total: int, window: int, overlap: int) -> Iterator[Tensor]:
    """run(first, stop) -> [stop - first, ...], over windows of `total` frames; blocks [n, ...], `total` rows in all.

    Each window is faded in, linearly, over the first `overlap` frames that it has to add to; `run` is called once for
    a sequence that fits one window, so the result is then that of one call. Raises InputError as `windows` does.
    """
    ramp = (torch.arange(overlap) + 0.5) / overlap if overlap > 0 else torch.empty(0)
    tail: Tensor | None = None  # rows `done` to `done + overlap` of the window before
    done = 0
    for first, stop in windows(total, window, overlap):
        rows = run(first, stop)[done - first :]
        if tail is not None:
            weight = ramp.to(rows).reshape(-1, *[1] * (rows.ndim - 1))
            rows = torch.cat([torch.lerp(tail, rows[:overlap], weight), rows[overlap:]])
        ready = len(rows) if stop == total else len(rows) - overlap
        yield rows[:ready]
        tail, done = rows[ready:], done + ready


class StreamBuffer:
    """Stretches of a sequence that comes in blocks [n, ...], read in order; what has gone by is forgotten."""

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._blocks = iter(blocks)
        self._rows: Tensor | None = None
        self._first = 0  # the row of the sequence that `_rows` begins with

    def read(self, first: int, stop: int) -> tuple[Tensor | None, int]:
        """Rows `first` to `stop` - 1 as far as they exist, and the number of the first of them.

        Beyond the end there is at least the last row; None for a sequence without a row. Each `first` must be no less
        than the one before.
        """
        rows = self._rows
        while rows is None or self._first + len(rows) < stop:
            block = next(self._blocks, None)
            if block is None:
                break
            if len(block):
                rows = self._since(first, block if rows is None else torch.cat([rows, block]))
        if rows is None:
            return None, 0
        self._rows = rows = self._since(first, rows)
        return rows[: max(stop - self._first, 1)], self._first

    def _since(self, first: int, rows: Tensor) -> Tensor:
        gone = min(max(first - self._first, 0), len(rows) - 1)
        self._first += gone
        return rows[gone:]


def sample_at(track: Tensor, positions: Tensor) -> Tensor:
    """Rows of a sequence [T, ...] at fractional positions [P], linear between rows; the ends hold.

    Floating, at least float32, [P, ...].
    """
    positions = positions.clamp(0, len(track) - 1).to(track.device)
    low = positions.floor().long()
    kind = torch.promote_types(track.dtype, torch.float32)
    weight = (positions - low).to(kind).reshape(-1, *[1] * (track.ndim - 1))
    return torch.lerp(track[low].to(kind), track[(low + 1).clamp_max(len(track) - 1)].to(kind), weight)


def retime(blocks: Iterable[Tensor], source: Rate, target: Rate, frames: int) -> Iterator[Tensor]:
    """Interpolate a sequence from one frame rate to another, linearly, at the centres of the frames.

    blocks [n, ...] at `source` frames per second -> blocks at `target`, `frames` rows in all; before the first centre
    and after the last the end values hold.
    """
    ratio = as_rate(source) / as_rate(target)
    done, start = 0, 0
    rows: Tensor | None = None

    def between(rows: Tensor, first: int, stop: int) -> Tensor:
        # Frame k of the target lies at (k + 1/2) * ratio - 1/2 of the source.
        numerator = (2 * torch.arange(first, stop) + 1) * ratio.numerator - ratio.denominator
        return sample_at(rows, numerator.double() / (2 * ratio.denominator) - start)

    for block in blocks:
        rows = block if rows is None else torch.cat([rows, block])
        # All frames k whose upper neighbour has come: (k + 1/2) * ratio - 1/2 <= start + len(rows) - 1.
        stop = min(frames, int((Fraction(start + len(rows)) - Fraction(1, 2)) / ratio - Fraction(1, 2)) + 1)
        if stop > done:
            yield between(rows, done, stop)
            done = stop
            gone = min(max(0, int((done + Fraction(1, 2)) * ratio - Fraction(1, 2)) - start), len(rows) - 1)
            rows, start = rows[gone:], start + gone
    if rows is not None and done < frames:
        yield between(rows, done, frames)
