"""Style: how much a face moves its head, blinks, looks about and means what it says; and a head pose of one's own.

Source: See the Speaker (Wang et al., arXiv 2510.26819) makes eyes and head along with the mouth; what a user may turn
is ours. Everything acts on `Motion`, frame by frame, so a stream gives what the whole gives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..faces.head_pose import HeadPose
from ..media.timebase import as_rate
from .controls import BLINK_LEFT, BLINK_RIGHT, GAZE_DOWN, GAZE_RIGHT, OPENING, ControlTable
from .motion import Motion

MOST = 3.0
"""No style multiplies by more."""

BLINK_SECONDS = (0.08, 0.06, 0.16)
"""How long lids close, stay shut and open (Guitton et al. 1991)."""

_SHORTEST, _SLOT = 0.5, 1.0
"""A slot of so many seconds holds one blink at most, and it begins in the slot's first half: they lie apart."""


@dataclass(frozen=True)
class MotionStyle:
    """head: how far the head moves, by what was predicted; expression: how strong the face does; blink: how far lids
    close, by what was predicted; blink_rate: blinks a minute in place of the predicted ones, None: those; gaze: to the
    right of the picture and down, -1..1, on top of the predicted; look: how far the predicted gaze wanders; pose: yaw,
    pitch and roll over time in place of the predicted. 1 and None leave a motion as it is."""

    head: float = 1.0
    expression: float = 1.0
    blink: float = 1.0
    blink_rate: float | None = None
    gaze: tuple[float, float] = (0.0, 0.0)
    look: float = 1.0
    pose: HeadPose | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("head", "expression", "blink", "look"):
            value = getattr(self, name)
            if not 0 <= value <= MOST:
                raise InputError(f"{name} is {value}; it lies between 0 and {MOST:g}, 1 leaves the motion as it is.")
        if self.blink_rate is not None and not 0 <= self.blink_rate <= 60:
            raise InputError(f"{self.blink_rate} blinks a minute; give 0 to 60, people blink 10 to 20 times.")
        if not all(-1 <= part <= 1 for part in self.gaze):
            raise InputError(f"gaze {self.gaze}; both parts lie between -1 and 1.")

    @property
    def neutral(self) -> bool:
        """Whether it changes nothing."""
        return self == MotionStyle(seed=self.seed)

    def apply(self, motion: Motion, controls: ControlTable, first: int = 0) -> Motion:
        """The motion in this style. It is about a face at rest, and begins with frame `first` of its film.

        Raises InputError where a control is asked for that the motion's model does not have.
        """
        if self.neutral:
            return motion
        expression = motion.expression * self.expression
        if self.blink != 1 or self.blink_rate is not None:
            expression = self._blinked(expression, motion, controls, first)
        for name, by in zip((GAZE_RIGHT, GAZE_DOWN), self.gaze, strict=True):
            if self.look != 1:
                # What the expression's strength did to the gaze is undone.
                seen = controls.value(motion.expression, name)
                expression = controls.moved(expression, name, (self.look - self.expression) * seen)
            if by:
                expression = controls.moved(expression, name, by)
        rotation, translation = self.head * motion.rotation, self.head * motion.translation
        scale = 1 + self.head * (motion.scale - 1)
        if self.pose is not None:
            rotation = pose_at(self.pose, first, len(motion), motion)
        return replace(motion, expression=expression, rotation=rotation, translation=translation, scale=scale)

    def _blinked(self, expression: Tensor, motion: Motion, controls: ControlTable, first: int) -> Tensor:
        for name in (BLINK_RIGHT, BLINK_LEFT):
            shut = controls.value(motion.expression, name).clamp_min(0)
            if self.blink_rate is None:
                by = (self.blink - self.expression) * shut
            else:
                made = blinks(self.blink_rate, first, len(motion), float(as_rate(motion.fps)), self.seed)
                by = self.blink * made - self.expression * shut
            expression = controls.moved(expression, name, by)
        return expression


def blinks(rate: float, first: int, frames: int, fps: float, seed: int = 0) -> Tensor:
    """How far lids are shut in frames [frames] from number `first` on, 0..1, with `rate` blinks a minute on average.

    Each moment depends on the seed and on itself alone.
    """
    times = (np.arange(first, first + frames) + 0.5) / fps
    shut = np.zeros(frames)
    if frames == 0:
        return torch.from_numpy(shut).float()
    closing, _, opening = BLINK_SECONDS
    for slot in range(math.floor((times[0] - sum(BLINK_SECONDS)) / _SLOT), math.floor(times[-1] / _SLOT) + 1):
        drawn = np.random.default_rng([seed, slot + 2**20]).random(2)
        if drawn[0] >= min(rate / 60 * _SLOT, 1.0):
            continue
        begin = slot * _SLOT + drawn[1] * _SLOT * _SHORTEST
        since = times - begin
        rise, fall = since / closing, (sum(BLINK_SECONDS) - since) / opening
        shut = np.maximum(shut, np.clip(np.minimum(rise, fall), 0, 1))
    return torch.from_numpy(shut).float()


def pose_at(pose: HeadPose, first: int, frames: int, motion: Motion) -> Tensor:
    """Degrees [frames,3] of a user's pose from frame `first` of the film on."""
    rate = as_rate(motion.fps)
    shifted = HeadPose(pose.seconds - first / float(rate), pose.degrees)
    return shifted.at(frames, rate)


def keep_shut(expression: Tensor, shut: Tensor, controls: ControlTable) -> Tensor:
    """Expressions [T,K,3] whose mouth closes as far as `shut` [T] says, 0 not at all, 1 altogether.

    A mouth that is shut already stays as it is.
    """
    return controls.moved(expression, OPENING, -shut * controls.value(expression, OPENING).clamp_min(0))


def placed(motion: Motion, rest: Motion, relative: bool = True, turned: bool = False) -> Motion:
    """A motion on a face whose motion at rest is the one frame of `rest`: what a renderer moves keypoints by.

    relative: the motion is about a face at rest; else its own first frame is taken for its rest. turned: its rotation
    is the head's own, as with a pose given by a user, and not about the rest's. Raises InputError for another number of
    keypoints, or of frames of rest.
    """
    if len(rest) != 1 or rest.keypoints != motion.keypoints:
        raise InputError(
            f"a rest of {len(rest)} frames and {rest.keypoints} keypoints; needed is one of {motion.keypoints}."
        )
    scale, expression, rotation, translation = motion.scale, motion.expression, motion.rotation, motion.translation
    if not relative and len(motion):
        own = motion[:1]
        scale, expression = scale / own.scale, expression - own.expression
        rotation, translation = rotation if turned else rotation - own.rotation, translation - own.translation
    return Motion(
        rest.expression + expression,
        rotation if turned else rest.rotation + rotation,
        rest.translation + translation,
        rest.scale * scale,
        motion.fps,
    )
