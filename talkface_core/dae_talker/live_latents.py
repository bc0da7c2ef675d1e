"""Sound that is still coming to latents: step by step, with a stated look-ahead and a bounded past.

Source: ours. Frames are made in steps of `hop`. A step begins as soon as the sound reaches `look_ahead` seconds beyond
its last frame's end, and hears that and some seconds of past: what the mouth does depends on little more. Neighbouring
steps hear different futures, so each is faded in from what the step before expected of its first frames.

What a step hears is counted in samples of the stream, never in what has come: chunks of any size give the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from ..errors import InputError
from ..media.source import reblock
from ..media.timebase import SAMPLE_RATE, frame_count, step_at
from ..sequences import StreamBuffer
from ..speech.features import LogMel
from .hearing import hear_block, live_step, silent_step
from .model import SpeechModel
from .pose import Blinks, pose_degrees, sway_track
from .windows import Control, window_rows

_MEL_WAITS = Fraction(LogMel.N_FFT // 2, SAMPLE_RATE)  # seconds that a mel step needs beyond its centre
_GATE_PAST = 250  # steps that the gate hears before the window; of more it makes next to nothing


@dataclass(frozen=True)
class LiveSettings:
    """How a stream is cut.

    look_ahead: seconds of sound beyond a frame's end that are heard before it is drawn; hop: frames of a step, which
    are decoded together; fade: frames over which a step is faded in; past: frames that a step hears before its own.
    """

    look_ahead: float = 0.2
    hop: int = 4
    fade: int = 2
    past: int = 100

    LEAST, MOST = 0.04, 2.0

    def __post_init__(self) -> None:
        if not self.LEAST <= self.look_ahead <= self.MOST:
            raise InputError(
                f"look-ahead of {self.look_ahead:g} s is outside {self.LEAST:g}..{self.MOST:g}: less comes earlier, "
                "more follows the sound better"
            )
        if self.hop < 1 or self.fade < 0 or self.past < 0:
            raise InputError(f"steps of {self.hop} frames, {self.fade} faded, {self.past} past: give 1, 0, 0 or more")


@dataclass(frozen=True)
class LatentStep:
    """The frames of one step: latents [n, D] and pose [n, 3] in degrees from frame `first` on; `heard` samples at
    16 kHz of the stream had to come for it."""

    first: int
    latents: Tensor
    pose: Tensor
    heard: int


class Idle:
    """What the face does of itself, with speech and without: blinks and a slow sway of the head, without an end."""

    def __init__(self, speech: SpeechModel, seed: int = 0) -> None:
        self._motion = pose_degrees(speech.speech2latent.adaptor.motion_std)
        self._fps, self._seed = float(speech.fps), seed
        self._blinks = Blinks(self._fps, seed)

    def __call__(self, first: int, stop: int, control: Control) -> Control:
        """`control` with sway and eyes of frames first ... stop-1; `first` no less than the one before."""
        sway = sway_track(self._motion, stop - first, self._fps, self._seed, first)
        return replace(control, sway=sway, eyes=self._blinks(first, stop))


def live_latents(
    speech: SpeechModel,
    chunks: Iterable[Tensor],
    settings: LiveSettings | None = None,
    control: Control | None = None,
    idle: Idle | None = None,
) -> Iterator[LatentStep]:
    """Latents and pose of mono sound at 16 kHz that comes in chunks [n] of any length, step by step as it comes.

    All steps together have ceil(seconds * fps) frames, at the model's own rate; the end of the chunks flushes the rest.
    `control` holds for the whole stream: its pose is one pose [3] or None, its eyes and sway are `idle`'s (None: open,
    still). Memory holds a few seconds.
    The model listens by itself, also where it has an ear. Raises InputError for settings that are impossible, and where
    no sample comes at all.
    """
    settings, control = settings or LiveSettings(), control or Control()
    control.checked(1)
    silence = None if control.expression == 1.0 else silent_step(speech)
    model, fps = speech.speech2latent, speech.fps
    sound = _Counted(chunks)
    mel = StreamBuffer(LogMel().stream(sound))
    beyond = Fraction(step_at(Fraction(settings.look_ahead), SAMPLE_RATE), SAMPLE_RATE)
    ahead = int(beyond * fps)
    tail: Tensor | None = None
    first = 0
    while True:
        stop = first + settings.hop
        heard = math.ceil(SAMPLE_RATE * (stop / fps + beyond))
        steps = math.floor((Fraction(heard, SAMPLE_RATE) - _MEL_WAITS) * LogMel.rate) + 1
        begin = max(0, first - settings.past)
        known = max(0, live_step(speech, begin, stop) - (0 if speech.gate is None else _GATE_PAST))
        block, step = mel.read(known, steps)
        if block is None:
            raise InputError("no sound at all: the stream ended before its first sample")
        total = frame_count(sound.samples, SAMPLE_RATE, fps) if sound.ended else stop + ahead
        if total <= first:
            return
        end = min(stop + ahead, total)
        if speech.gate is not None:
            with torch.no_grad():
                block = speech.gate.fade(block[None].to(speech.compute_device))[0]
        posed = replace(control, pose=None if control.pose is None else control.pose.expand(end - begin, 3))
        posed = posed if idle is None else idle(begin, end, posed)
        heard_block, at = hear_block(speech, block, step, begin, end)
        rows = window_rows(model, heard_block, at, begin, end, model.config.hears, posed, silence)[first - begin :]
        if tail is not None and len(tail):
            n = min(len(tail), len(rows))
            weight = (torch.arange(n)[:, None] + 1.0) / (len(tail) + 1)
            rows = torch.cat([torch.lerp(tail[:n], rows[:n], weight), rows[n:]])
        own, tail = rows[: settings.hop], rows[settings.hop : settings.hop + settings.fade]
        yield LatentStep(first, own[:, :-3], own[:, -3:], min(heard, sound.samples))
        first = stop


class _Counted:
    """Chunks [n] cut to the length of a mel step; how many samples came, and whether that was all."""

    def __init__(self, chunks: Iterable[Tensor]) -> None:
        self._chunks, self.samples, self.ended = chunks, 0, False

    def __iter__(self) -> Iterator[Tensor]:
        for block in reblock((chunk[None] for chunk in self._chunks), LogMel.HOP):
            self.samples += block.shape[1]
            yield block[0]
        self.ended = True
