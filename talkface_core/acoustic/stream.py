"""Acoustic features of a sound of any length, at the frames of a film of any rate, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain

import torch
from torch import Tensor

from ..media.timebase import Rate, as_rate, frame_count
from ..sequences import StreamBuffer, sample_at
from ..speech.features import LogMel
from .model import AcousticModel

BLOCK = 128
"""Frames that are computed together, at least."""

AFTER = 320
"""Steps of silence behind every sound, in which the mouth shuts: four seconds, of which the first two are heard. The
others are context: where a sound ends, the acoustic model has not learnt what a mouth does."""

_WHOLE = 2**40  # frames: more than any sound has


@torch.no_grad()
def acoustic_features(model: AcousticModel, mel: Tensor) -> Tensor:
    """Features [T,width] of a log-mel [S,80], for all frames at the model's rate; float32 on the CPU."""
    return torch.cat([torch.zeros(0, model.config.width), *stream_features(model, [mel])])


@torch.no_grad()
def stream_features(model: AcousticModel, mel: Iterable[Tensor]) -> Iterator[Tensor]:
    """Features [t,width] at the model's rate, as a log-mel comes in blocks [s,80]: what the whole would give.

    Each block is computed with the frames on both sides that it depends on.
    """
    count = [0]
    buffer = StreamBuffer(counted(mel, count))
    reach = model.config.reach if model.config.context else _WHOLE
    done, total = 0, _WHOLE
    while done < total:
        first, stop = max(done - reach, 0), done + (BLOCK if model.config.context else _WHOLE)
        last = stop + reach
        wanted = mel_step(model, last) + model.front.reach
        block, step = buffer.read(mel_step(model, first) - model.front.reach, wanted)
        if block is None:
            return
        if step + len(block) < wanted:
            total = frame_count(count[0], int(LogMel.rate), model.config.fps)
            last, stop = min(last, total), min(stop, total)
        output = model(block[None].to(model.viseme.weight), last - first, first_frame=first, first_step=step)
        yield output.features[0, done - first : stop - first].float().cpu()
        done = stop


def stream_into_silence(model: AcousticModel, mel: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same of a sound that silence follows, as far as the mouth has shut in it."""
    return held_back(stream_features(model, chain(mel, [silence()])), model.config.fps)


def held_back(blocks: Iterable[Tensor], fps: int) -> Iterator[Tensor]:
    """Frames [t,...] at `fps` of a sound and `silence` behind it, but for the half of that which is context alone."""
    without = int(AFTER / (2 * LogMel.rate) * fps)
    held: Tensor | None = None
    for block in blocks:
        held = block if held is None else torch.cat([held, block])
        if len(held) > without:
            yield held[:-without]
            held = held[-without:]


def silence() -> Tensor:
    """The log-mel [AFTER, 80] of silence."""
    return torch.full((AFTER, LogMel.dim), LogMel.SILENCE)


def quiet_features(model: AcousticModel) -> Tensor:
    """The features [width] that a model has in the middle of a silence; float32 on the CPU."""
    features = acoustic_features(model, silence())
    return features[len(features) // 2]


def mel_step(model: AcousticModel, frame: int) -> int:
    """The mel step below the centre of a frame."""
    return int((Fraction(2 * frame + 1, 2 * model.config.fps)) * LogMel.rate)


def counted(blocks: Iterable[Tensor], count: list[int]) -> Iterator[Tensor]:
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
