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
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..acoustic.hearing import OutsideEar
from ..acoustic.model import AcousticModel
from ..errors import InputError
from ..media.audio import AudioSource
from ..media.timebase import FPS
from ..sequences import StreamBuffer
from ..speech.features import FrontEnd
from ..speech.vad import VoiceActivityGate, warn_of_no_speech
from .controls import BLINK_LEFT, OPENING
from .lip_refinement import LipRefinement
from .motion import POSE_VALUES, Motion
from .motion_diffusion import Before, MotionDiffusion, MotionSampling
from .motion_hearing import Hearing, encoded_rows, heard_rows
from .prosody import Prosody
from .style import MotionStyle, keep_shut

SEAM = 8
"""Frames over which the step at a window's beginning is taken out."""


class MotionModel(nn.Module):
    """Motion diffusion with all it hears by: the acoustic model (None for one that hears a speech encoder of the
    host), the gate, the refinement of the lips, and the ear in the acoustic model's place, where there are such.

    Raises InputError for parts that do not belong together.
    """

    def __init__(
        self,
        diffusion: MotionDiffusion,
        acoustic: AcousticModel | None = None,
        gate: VoiceActivityGate | None = None,
        lips: LipRefinement | None = None,
        ear: OutsideEar | None = None,
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
        if ear is not None:
            ear.check(acoustic)
        self.diffusion, self.acoustic, self.gate, self.lips, self.ear = diffusion, acoustic, gate, lips, ear

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
            return encoded_rows(self.diffusion.config, source, encoded)
        if encoded is not None:
            raise InputError("this motion hears no audio encoder; leave its output out.")
        return heard_rows(self.acoustic, self.gate, source, place, self.diffusion.config.prosody, self.ear)

    @torch.no_grad()
    def window(
        self, hearing: Hearing, before: Before | None, seed: int, index: int, sampling: MotionSampling | None = None
    ) -> tuple[Tensor, Before]:
        """The normalised motion [L,V] of the frames of `hearing`, window number `index`, and what the next follows."""
        net, place = self.diffusion, self.device
        heard = net.hear(hearing.features[None].to(net.hear.weight if net.hear.weight is not None else place))
        made = net.say(heard, before, _generator(seed, index), sampling)
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


class _Counted:
    """Blocks, whose rows are added up."""

    def __init__(self, blocks: Iterable[Tensor]) -> None:
        self._blocks, self.rows = blocks, 0

    def __iter__(self) -> Iterator[Tensor]:
        for block in self._blocks:
            self.rows += len(block)
            yield block


def _generator(seed: int, index: int) -> torch.Generator:
    """The noise of a window, by the seed and its number."""
    mixed = (seed * 1_000_003 + index * 7_919 + 0x9E3779B9) % 2**63
    return torch.Generator("cpu").manual_seed(mixed)
