"""What a completion hears, as rows at its own rate that come in blocks, in bounded memory.

Source: ours. Windows of the log-mel for the published layout, or a speech encoder's features; those of the acoustic
model are acoustic/stream.py's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import torch
from torch import Tensor

from ..errors import InputError
from ..sequences import StreamBuffer
from ..speech.frame_front import FrameFront, frame_positions
from ..speech.mel_windows import WindowStream
from .completion import LandmarkCompletion

_BLOCK = 128
"""Frames that are heard at once."""


class AudioRows:
    """What is heard at rows that rise, of blocks; the last one holds. A stream that broke stays broken."""

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._broken: BaseException | None = None
        self._stream = StreamBuffer(self._watched(blocks))

    def read(self, first: int, stop: int) -> Tensor:
        """Rows first to stop - 1."""
        if self._broken is not None:
            raise self._broken
        rows, begin = self._stream.read(first, stop)
        if rows is None:
            raise InputError("there is no sound to say.")
        return rows[(torch.arange(first, stop) - begin).clamp(0, len(rows) - 1)]

    def _watched(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        try:
            yield from blocks
        except Exception as error:
            self._broken = error
            raise


@torch.no_grad()
def stream_front(completion: LandmarkCompletion, steps: Iterable[Tensor]) -> Iterator[Tensor]:
    """`LandmarkCompletion.hear` of features that come in blocks [s,dim]: rows [n,A] as the whole would give."""
    front = cast(FrameFront, completion.front)
    count = [0]
    buffer = StreamBuffer(_counted(steps, count))
    done, total = 0, math.inf
    while done < total:
        stop = done + _BLOCK
        first, last = (_step(front, frame) for frame in (done, stop))
        wanted = last + 1 + front.reach
        block, begin = buffer.read(max(first - front.reach, 0), wanted)
        if block is None:
            return
        if begin + len(block) < wanted:
            total = math.ceil(count[0] / front.config.exact_rate * front.fps)
            stop = min(stop, int(total))
        if stop > done:
            heard = completion.hear(block[None].to(front.join.weight), stop - done, done, begin)
            yield heard[0].float().cpu()
        done = stop


def _step(front: FrameFront, frame: int) -> int:
    """The step of a front end at the centre of a frame or below."""
    below, _ = frame_positions(1, front.config.exact_rate, front.fps, Fraction(front.config.offset), frame)
    return int(below)


def _counted(blocks: Iterable[Tensor], count: list[int]) -> Iterator[Tensor]:
    """The same blocks; their steps are added up in `count`."""
    for block in blocks:
        count[0] += len(block)
        yield block


def mel_window_rows(mel: Iterable[Tensor], fps: int, shift: float) -> Iterator[Tensor]:
    """The windows [n,80,16] of frames at `fps`, up to one that hears nothing but the silence behind the sound."""
    count = [0]
    stream, first = WindowStream(_counted(mel, count), fps, shift), 0
    while True:
        rows = stream.at(range(first, first + fps))[:, 0]
        yield rows
        first += fps
        if first * 80 > (count[0] + 80) * fps:
            return
