"""The motion of a talking face for a sound of any length, at any frame rate, in bounded memory.

Source: ours, over JoyVASA's windows: each follows the motion and the sound just before it, so neither a seam nor the
whole past is needed. Noise is drawn of the seed and the window's number: the same sound gives the same motion, however
it is asked for. Where a window begins a little beside the one before, the step is taken out over its first frames.
Where nobody speaks the mouth is shut, and the head goes on as it does in silence; where the acoustic model hears p, b
or m, lips close.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import tee
from typing import cast

import torch
from torch import Tensor, nn

from ..acoustic.model import AcousticModel
from ..acoustic.stream import stream_into_silence
from ..datasets.labels import VISEMES
from ..errors import InputError
from ..media.audio import AudioSource, analysis_blocks
from ..media.timebase import FPS, Rate, as_rate
from ..sequences import StreamBuffer, sample_at
from ..speech.features import FrontEnd, LogMel
from ..speech.vad import VoiceActivityGate, gated_mel, warn_of_no_speech
from .controls import BLINK_LEFT, OPENING
from .lip_refinement import LipRefinement
from .motion import POSE_VALUES, Motion
from .motion_diffusion import Before, MotionDiffusion, MotionSampling
from .prosody import SILENT, Prosody
from .style import MotionStyle, keep_shut

PRESSED = VISEMES.index("PP")
"""The class of p, b and m among the acoustic model's visemes."""

BLOCK = 64
"""Frames that are heard at once."""

SEAM = 8
"""Frames over which the step at a window's beginning is taken out."""

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


class MotionModel(nn.Module):
    """Motion diffusion with all it hears by: the acoustic model (None for one that hears a speech encoder of the
    host), the gate and the refinement of the lips, where there are such.

    Raises InputError for parts that do not belong together.
    """

    def __init__(
        self,
        diffusion: MotionDiffusion,
        acoustic: AcousticModel | None = None,
        gate: VoiceActivityGate | None = None,
        lips: LipRefinement | None = None,
    ) -> None:
        super().__init__()
        config = diffusion.config
        if acoustic is not None:
            heard = acoustic.config.width + (Prosody.dim if config.prosody else 0)
            if (heard, acoustic.config.fps) != (config.audio, config.fps) or config.fps != FPS:
                raise InputError(
                    f"the motion hears {config.audio} values {config.fps} times a second, its acoustic model and "
                    f"prosody give {heard} at {acoustic.config.fps}; put parts of one training run together."
                )
        elif config.prosody:
            raise InputError("this motion hears an acoustic model and prosody; its acoustic model is missing.")
        if lips is not None and (lips.config.keypoints, lips.config.audio) != (config.keypoints, config.audio):
            raise InputError("the refinement of the lips belongs to another motion model: other keypoints or features.")
        self.diffusion, self.acoustic, self.gate, self.lips = diffusion, acoustic, gate, lips

    @property
    def device(self) -> torch.device:
        """Where the motion is computed."""
        return self.diffusion.null_audio.device

    def listen(self, source: AudioSource, encoded: FrontEnd | None = None) -> Iterator[Tensor]:
        """`Hearing.rows` in blocks, of a sound and two seconds of silence behind it.

        encoded: a speech encoder's features of the same sound, for a model without an acoustic model. Warns of a sound
        without speech. Raises InputError where features are missing, or of no use.
        """
        place = self.device if self.gate is None else next(self.gate.parameters()).device
        if self.acoustic is None:
            if encoded is None or encoded.dim != self.diffusion.config.audio:
                told = "none" if encoded is None else f"those of {encoded.dim} values"
                raise InputError(
                    f"this motion hears an audio encoder of {self.diffusion.config.audio} values (HuBERT base), not "
                    f"{told}: give its features of the sound."
                )
            warn_of_no_speech(source, self.gate, place)
            return self._encoded(source, encoded)
        if encoded is not None:
            raise InputError("this motion hears no audio encoder; leave its output out.")
        return self._heard(source, place)

    def _heard(self, source: AudioSource, place: torch.device) -> Iterator[Tensor]:
        acoustic = cast(AcousticModel, self.acoustic)
        faded, same = tee(gated_mel(source, self.gate, place))
        features = stream_into_silence(acoustic, faded)
        opened = StreamBuffer(_open(same))
        prosody = StreamBuffer(Prosody().stream(analysis_blocks(source)))
        done = 0
        for block in features:
            stop = done + len(block)
            gain = _read(opened, done, stop, torch.zeros(1))
            pressed = acoustic.viseme(block.to(acoustic.viseme.weight)).float().softmax(-1)[:, PRESSED].cpu()
            if self.diffusion.config.prosody:
                melody = gain * _read(prosody, done, stop, SILENT)
                block = torch.cat([block, melody], 1)
            yield Hearing(block, gain[:, 0], pressed).rows()
            done = stop

    def _encoded(self, source: AudioSource, encoded: FrontEnd) -> Iterator[Tensor]:
        """The encoder's steps at the model's rate; nothing tells of silence, or of p, b and m."""
        fps, delay = self.diffusion.config.fps, Fraction(self.diffusion.config.delay).limit_denominator(10_000)
        buffer, done = StreamBuffer(encoded.stream(analysis_blocks(source))), 0
        while True:
            places = [
                (Fraction(2 * k + 1, 2 * fps) - delay - encoded.offset) * encoded.rate
                for k in range(done, done + BLOCK)
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

    @torch.no_grad()
    def window(
        self, hearing: Hearing, before: Before | None, seed: int, index: int, sampling: MotionSampling | None = None
    ) -> tuple[Tensor, Before]:
        """The normalised motion [L,V] of the frames of `hearing`, window number `index`, and what the next follows."""
        net, place = self.diffusion, self.device
        heard = net.hear(hearing.features[None].to(net.hear.weight if net.hear.weight is not None else place))
        made = self._sampled(heard, before, _generator(seed, index), sampling or net.config.sampling)
        if before is not None:
            ramp = torch.linspace(1, 0, SEAM + 2)[1:-1].to(made)[: made.shape[1]]
            # Where the motion was heading, at the speed it had.
            due = 2 * before.motion[:, -1:] - before.motion[:, -2:-1] if before.motion.shape[1] > 1 else before.motion
            step = 0.5 * (due[:, -1:] + before.motion[:, -1:]) - made[:, :1]
            made[:, : len(ramp)] += ramp[None, :, None] * step
        past = net.config.previous
        motion, sound = made, heard
        if before is not None:
            motion, sound = torch.cat([before.motion, made], 1), torch.cat([before.heard.to(heard), heard], 1)
        return made[0].float().cpu(), Before(motion[:, -past:], sound[:, -past:])

    def _sampled(
        self, heard: Tensor, before: Before | None, generator: torch.Generator, sampling: MotionSampling
    ) -> Tensor:
        """Normalised motion [1,L,V]: one sample, with the mean lips of all takes."""
        net, takes = self.diffusion, sampling.takes
        if takes == 1 or OPENING not in net.controls.names:
            return net.sample(heard, before, generator, sampling)
        if before is not None:
            before = Before(before.motion.expand(takes, -1, -1), before.heard.expand(takes, -1, -1))
        made = net.sample(heard.expand(takes, -1, -1), before, generator, sampling)
        lips = net.controls.shares(OPENING).repeat_interleave(3)
        lips = torch.cat([lips, lips.new_zeros(POSE_VALUES)]).to(made)
        return torch.lerp(made[:1], made.mean(0, keepdim=True), lips)

    def finish(self, values: Tensor, hearing: Hearing, head: float = 1.0) -> Motion:
        """The motion of normalised values [n,V]: lips shut where they should be, the head `head` times as far away from
        where it rests."""
        net = self.diffusion
        motion = Motion.from_values(livelier(net.denormalise(values.to(net.mean)), head).cpu(), net.config.fps)
        expression = motion.expression
        if OPENING in net.controls.names:
            quiet, pressed = 1 - hearing.open, closing(hearing.pressed)
            shut = torch.maximum(quiet, pressed)
            expression = keep_shut(expression, shut, net.controls)
        return replace(motion, expression=expression)

    @torch.no_grad()
    def refine(self, values: Tensor, hearing: Hearing) -> Tensor:
        """Normalised motion [L,V] of a window with its lips refined, where there is a refinement."""
        if self.lips is None:
            return values
        place = self.device
        refined = self.lips(values[None].to(place), hearing.features[None].to(place))
        return refined[0].float().cpu()


def livelier(values: Tensor, head: float) -> Tensor:
    """Motion values [n,V] about a face at rest, in which the head moves `head` times as far."""
    expression, scale, turns = values.split([values.shape[-1] - POSE_VALUES, 1, POSE_VALUES - 1], -1)
    return torch.cat([expression, 1 + head * (scale - 1), head * turns], -1)


def closing(pressed: Tensor, at: float = 0.08, width: float = 0.02) -> Tensor:
    """How far lips close at a probability [n] of p, b or m: a logistic curve from 0.

    Of noisy training voices, seven in eight p, b and m have more than `at`, and one in ten frames of an open mouth.
    """
    least = 1 / (1 + math.exp(at / width))
    return ((torch.sigmoid((pressed - at) / width) - least) / (1 - least)).clamp(0, 1)


def stream_motion(
    model: MotionModel,
    source: AudioSource,
    seed: int = 0,
    encoded: FrontEnd | None = None,
    style: MotionStyle | None = None,
    sampling: MotionSampling | None = None,
    callback: Callable[[int], None] | None = None,
) -> Iterator[Motion]:
    """The motion of a sound and of two seconds behind it, window after window, at the model's rate.

    callback: told the frames that are done, after each window. Raises InputError as `MotionModel.listen` does, and for
    a style that the model cannot have.
    """
    sampling, style = sampling or model.diffusion.config.sampling, style or MotionStyle()
    if style.blink_rate is None and sampling.blinks is not None and BLINK_LEFT in model.diffusion.controls.names:
        style = replace(style, blink_rate=sampling.blinks, seed=style.seed + seed)
    rows = StreamBuffer(_counted := _Counted(model.listen(source, encoded)))
    length, index, before = model.diffusion.config.frames, 0, None
    while True:
        first = index * length
        block, begin = rows.read(first, first + length)
        if block is None or (begin + len(block) <= first and index):
            return
        block = block[first - begin :]
        count = min(len(block), _counted.rows - first)
        if count <= 0:
            return
        # A window has its full length, as in training: the end of what is heard holds.
        padded = block[torch.arange(length).clamp_max(count - 1)]
        hearing = Hearing.of(padded)
        values, before = model.window(hearing, before, seed, index, sampling)
        motion = model.finish(model.refine(values, hearing), hearing, sampling.head)[:count]
        yield style.apply(motion, model.diffusion.controls, first)
        if callback is not None:
            callback(first + count)
        if count < length:
            return
        index += 1


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


class _Counted:
    """Blocks, whose rows are added up."""

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._blocks, self.rows = blocks, 0

    def __iter__(self) -> Iterator[Tensor]:
        for block in self._blocks:
            self.rows += len(block)
            yield block


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


def _generator(seed: int, index: int) -> torch.Generator:
    """The noise of a window, by the seed and its number."""
    mixed = (seed * 1_000_003 + index * 7_919 + 0x9E3779B9) % 2**63
    return torch.Generator("cpu").manual_seed(mixed)
