"""What a motion is made of: a sound as frames of features, how far the mouth may move in them, and where p, b or m is.

Source: ours. A speaker's mouth is shut where nobody speaks, whatever a motion diffusion would sample there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import tee

import torch
from torch import Tensor

from ..acoustic.hearing import OutsideEar, hear_faded
from ..acoustic.model import AcousticModel
from ..media.audio import AudioSource, analysis_blocks
from ..media.timebase import FPS
from ..sequences import StreamBuffer, sample_at
from ..speech.features import FrontEnd, LogMel
from ..speech.vad import VoiceActivityGate, gated_mel
from .motion_diffusion import MotionConfig
from .prosody import SILENT, Prosody

BLOCK = 64
"""Frames that are heard at once."""

_LOUD = 0.5
"""What a mean of the log-mel above silence counts as fully heard."""

_SLACK = 2
"""Frames before and after a heard one in which the mouth may move."""


@dataclass(frozen=True)
class Hearing:
    """Rows of frames at the model's rate: features [n,A]; open [n]: 0 where nothing is heard and the mouth keeps shut,
    1 where it moves freely; pressed [n]: how likely p, b or m is said."""

    features: Tensor
    open: Tensor
    pressed: Tensor

    def rows(self) -> Tensor:
        """[n, A + 2], as one tensor."""
        return torch.cat([self.features, self.open[:, None], self.pressed[:, None]], 1)

    @classmethod
    def of(cls, rows: Tensor) -> Hearing:
        """Undo `rows`."""
        return cls(rows[:, :-2], rows[:, -2], rows[:, -1])


def heard_rows(
    acoustic: AcousticModel,
    gate: VoiceActivityGate | None,
    source: AudioSource,
    place: torch.device,
    prosody: bool,
    ear: OutsideEar | None = None,
) -> Iterator[Tensor]:
    """`Hearing.rows` in blocks, of what an acoustic model hears; `prosody`: the melody of speech as well.

    place: where the gate computes; ear: what hears in the acoustic model's place.
    """
    faded, same = tee(gated_mel(source, gate, place))
    features = hear_faded(acoustic, faded, source, ear)
    opened = StreamBuffer(_open(same))
    melody = StreamBuffer(Prosody().stream(analysis_blocks(source)))
    done = 0
    for block in features:
        stop = done + len(block)
        gain = _read(opened, done, stop, torch.zeros(1))
        pressed = acoustic.pressed(block).cpu()
        if prosody:
            block = torch.cat([block, gain * _read(melody, done, stop, SILENT)], 1)
        yield Hearing(block, gain[:, 0], pressed).rows()
        done = stop


def encoded_rows(config: MotionConfig, source: AudioSource, encoded: FrontEnd) -> Iterator[Tensor]:
    """`Hearing.rows` in blocks, of a speech encoder's steps at the motion's rate; nothing tells of silence, or of p, b
    and m."""
    fps, delay = config.fps, Fraction(config.delay).limit_denominator(10_000)
    buffer, done = StreamBuffer(encoded.stream(analysis_blocks(source))), 0
    while True:
        places = [
            (Fraction(2 * k + 1, 2 * fps) - delay - encoded.offset) * encoded.rate for k in range(done, done + BLOCK)
        ]
        rows, first = buffer.read(max(int(places[0]) - 1, 0), int(places[-1]) + 2)
        if rows is None:
            return
        inside = [place for place in places if place <= first + len(rows)]
        if inside:
            at = torch.tensor([float(place - first) for place in inside], dtype=torch.float64)
            features, count = sample_at(rows, at), len(inside)
            yield Hearing(features, torch.ones(count), torch.zeros(count)).rows()
        done += len(inside)
        if len(inside) < BLOCK:
            return


def _open(mel: Iterable[Tensor]) -> Iterator[Tensor]:
    """How far the mouth may move [n,1] in frames at 25 a second, of a faded log-mel in blocks [s,80]."""
    steps, done = StreamBuffer(mel), 0
    ratio = LogMel.rate / FPS
    while True:
        low, high = int((done - _SLACK) * ratio), int((done + BLOCK + _SLACK) * ratio) + 1
        rows, first = steps.read(max(low, 0), high)
        if rows is None:
            return
        level = ((rows.mean(1) - LogMel.SILENCE) / _LOUD).clamp(0, 1)
        ready = min(BLOCK, int((first + len(rows)) / ratio) - done)
        if ready > 0:
            gains = []
            for frame in range(done, done + ready):
                begin, stop = int((frame - _SLACK) * ratio) - first, int((frame + 1 + _SLACK) * ratio) - first
                gains.append(level[max(begin, 0) : max(stop, 1)].mean())
            yield torch.stack(gains)[:, None].mul(2).clamp(max=1)
            done += ready
        if ready < BLOCK:
            return


def _read(stream: StreamBuffer, first: int, stop: int, rest: Tensor) -> Tensor:
    """Rows first to stop - 1 [n,C] of a stream, and `rest` [C] behind its end."""
    rows, begin = stream.read(first, stop)
    if rows is None:
        return rest.expand(stop - first, -1)
    rows = rows[first - begin :] if begin <= first else rows
    return torch.cat([rows, rest.expand(max(stop - first - len(rows), 0), -1)])[: stop - first]
