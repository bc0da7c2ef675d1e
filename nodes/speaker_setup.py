"""What the inputs of See the Speaker's nodes mean: which networks, how a face moves, which picture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import Tensor

from ..talkface_core.errors import InputError
from ..talkface_core.faces.even import grow_even, on_frames, size_of
from ..talkface_core.faces.head_pose import HeadPose
from ..talkface_core.faces.track import FaceTrack
from ..talkface_core.media.audio import AudioSource
from ..talkface_core.media.timebase import frame_count
from ..talkface_core.see_the_speaker import pipeline
from ..talkface_core.see_the_speaker.motion_stream import MotionModel
from ..talkface_core.see_the_speaker.rendering import PortraitRenderer
from ..talkface_core.see_the_speaker.style import MotionStyle
from . import host
from .repaint import footage
from .sockets import is_a

log = logging.getLogger(__name__)

_AT_ONCE = {"cpu": pipeline.WINDOW, "gpu": 4 * pipeline.WINDOW}


@dataclass(frozen=True)
class MotionSetup:
    """A sound's frames and what steers them: `rate`, `frames`, `how`."""

    rate: Fraction
    frames: int
    how: pipeline.Animation

    @classmethod
    def of(
        cls,
        model: MotionModel,
        source: AudioSource,
        head_pose: HeadPose | None,
        seed: int,
        *,
        fps: float,
        head_motion: float,
        expression: float,
        blink: float,
        blink_rate: float,
        gaze_right: float,
        gaze_down: float,
        guidance: float,
        steps: int,
    ) -> MotionSetup:
        """What the inputs say. Raises InputError for impossible settings."""
        rate = pipeline.output_rate(fps)
        pose = None if head_pose is None else is_a(HeadPose, head_pose, "head_pose")
        blinks = None if blink_rate < 0 else blink_rate
        gaze = (gaze_right, gaze_down)
        style = MotionStyle(head_motion, expression, blink, blinks, gaze, pose=pose, seed=seed)
        own = model.diffusion.config.sampling
        sampling = replace(own, guidance=guidance or own.guidance, steps=steps or own.steps)
        frames = frame_count(source.num_samples(), source.sample_rate, rate)
        return cls(rate, frames, pipeline.Animation(style, sampling, seed))


def check_portrait(component: host.Component | None) -> host.Component:
    """Raises InputError where the checkpoint makes no portraits."""
    return _side(component, "portrait_model", "portrait model")


def check_motion(component: host.Component | None) -> host.Component:
    """Raises InputError where the checkpoint has no motion."""
    return _side(component, "motion_model", "motion model")


def check_hrtf(component: host.Component | None) -> host.Component:
    """Raises InputError where the checkpoint draws nothing."""
    return _side(component, "hrtf", "renderer")


def _side(component: host.Component | None, socket: str, what: str) -> host.Component:
    if component is None:
        raise InputError(
            f"{socket} is empty: the checkpoint in Load See the Speaker holds no {what}; choose one that does, such as "
            "the bundled one"
        )
    return is_a(host.Component, component, socket)


def fidelity_of(renderer: PortraitRenderer, fidelity: float) -> float | None:
    """What the input says. Raises InputError for a checkpoint without a codebook."""
    if fidelity < 0:
        return None
    if renderer.codebook is None:
        raise InputError(f"fidelity is {fidelity:g}, but this checkpoint has no codebook: set it to -1")
    return fidelity


def window_of(window: int) -> int:
    """Frames that are drawn at once: what suits the device for 0."""
    return window or _AT_ONCE["cpu" if host.device().type == "cpu" else "gpu"]


def shown(progress: host.Progress) -> Callable[[int, int, Tensor], None]:
    """For samplers of portraits: each step moves the bar, and is looked at."""
    return lambda step, _, portrait: progress.reach(step + 1, portrait[0].permute(1, 2, 0))


def one_picture(images: Tensor, face_track: FaceTrack | None = None) -> tuple[Tensor, FaceTrack | None]:
    """The first of a batch of pictures [H,W,3], even, as Save Video needs it; with the track of its face.

    Raises InputError for a batch of none, and for a track of other pictures.
    """
    if not len(images):
        raise InputError("there is no picture: the batch of images is empty")
    if len(images) > 1:
        log.warning("TalkFace: of %d pictures the first is animated", len(images))
    if face_track is not None:
        images, face_track = footage(images, face_track)
    picture = images[:1, ..., :3].float()
    grown = grow_even(picture)
    return grown[0], None if face_track is None else on_frames(face_track, size_of(grown))
