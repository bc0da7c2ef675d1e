"""Acoustic features of a sound of any length, at the frames of a film of any rate, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from ..media.timebase import Rate, as_rate, frame_count
from ..sequences import StreamBuffer, sample_at
from ..speech.features import LogMel
from ..speech.frame_front import frame_positions
from .model import AcousticModel

BLOCK = 128
"""Frames that are computed together, at least."""


@torch.no_grad()
def acoustic_features(model: AcousticModel, mel: Tensor) -> Tensor:
    """Features [T,width] of a log-mel [S,80], for all frames at the model's rate; float32 on the CPU."""
    return torch.cat(list(stream_features(model, [mel])))


@torch.no_grad()
def stream_features(model: AcousticModel, mel: Iterable[Tensor]) -> Iterator[Tensor]:
    """Features [t,width] at the model's rate, as a log-mel comes in blocks [s,80]: what the whole would give.

    Each block is computed with the frames on both sides that it depends on.
    """
    weight, rate = model.viseme.weight, LogMel.rate
    reach = model.config.reach if model.config.context else None
    buffer, total = StreamBuffer(_counted(mel, count := [0])), None
    done = 0
    while total is None or done < total:
        # More than is read is never known of: the sound ends where the stream does.
        stop = None if reach is None else done + BLOCK
        first = 0 if reach is None else max(done - reach, 0)
        last = None if stop is None else stop + reach
        below = _steps(model, first, first + 1)[0] - model.front.reach
        above = 2**62 if last is None else _steps(model, last - 1, last)[1] + model.front.reach
        block, step = buffer.read(below, above)
        if block is None:
            return
        if last is None or step + len(block) < above:
            total = frame_count(count[0], rate, model.config.fps)
            last, stop = min(last or total, total), min(stop or total, total)
        output = model(block[None].to(weight), last - first, first_frame=first, first_step=step)
        yield output.features[0, done - first : stop - first].float().cpu()
        done = stop


def _steps(model: AcousticModel, first: int, stop: int) -> tuple[int, int]:
    """The mel steps that lie at the centres of frames `first` and `stop` - 1."""
    below, _ = frame_positions(stop - first, Fraction(LogMel.rate), model.config.fps, first_frame=first)
    return int(below[0]), int(below[-1]) + 2


def _counted(blocks: Iterable[Tensor], count: list[int]) -> Iterator[Tensor]:
    """The same blocks; their steps are added up in `count`."""
    for block in blocks:
        count[0] += len(block)
        yield block


class FeatureStream:
    """The features of rising frames of a film, of features [t,width] at `rate` that come in blocks.

    A frame between two of the model's is their linear mix.
    """

    def __init__(self, blocks: Iterable[Tensor], rate: Rate, fps: Rate) -> None:
        self._stream, self._ratio = StreamBuffer(blocks), as_rate(rate) / as_rate(fps)

    def at(self, frames: Sequence[int]) -> Tensor:
        """Features [F,width] of these frames; after the end of the sound the last one's.

        Frames rise and may be left out. What was asked for last can be asked for again; what lies before that is gone.
        """
        # Frame k of the film lies at (k + 1/2) * ratio - 1/2 of the model's.
        places = [(Fraction(2 * k + 1, 2)) * self._ratio - Fraction(1, 2) for k in frames]
        rows, first = self._stream.read(max(int(places[0]) - 1, 0), int(places[-1]) + 2)
        if rows is None:
            return torch.zeros(len(places), 0)
        return sample_at(rows, torch.tensor([float(place - first) for place in places], dtype=torch.float64))
