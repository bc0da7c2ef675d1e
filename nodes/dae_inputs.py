"""The inputs that all DAE-Talker nodes share, and what they mean."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from ..talkface_core.dae_talker import pipeline
from ..talkface_core.dae_talker.decode import sampling
from ..talkface_core.dae_talker.model import SpeechModel
from ..talkface_core.dae_talker.windows import Control
from ..talkface_core.diffusion.sampling import SAMPLERS
from ..talkface_core.errors import InputError
from ..talkface_core.faces.head_pose import HeadPose
from ..talkface_core.media.audio import AudioSource
from ..talkface_core.media.timebase import frame_count
from . import host
from .sockets import HEAD_POSE, SPEECH2LATENT, advanced, encoder_input, is_a

log = logging.getLogger(__name__)

OWN = "model's own"


class SpeechSetup:
    """A sound's frames and what steers them: `rate`, `frames`, `control`. Raises InputError for impossible settings."""

    def __init__(
        self,
        speech: SpeechModel,
        source: AudioSource,
        head_pose: HeadPose | None,
        seed: int,
        fps: float,
        pose_strength: float,
        head_motion: float,
        expression: float,
        idle: bool,
    ) -> None:
        self.rate = pipeline.output_rate(speech, fps)
        self.frames = frame_count(source.num_samples(), source.sample_rate, self.rate)
        pose = None
        if head_pose is not None:
            pose = is_a(HeadPose, head_pose, "head_pose").at(self.frames, self.rate)
        control = Control(pose, pose_strength, head_motion, expression=expression).checked(self.frames)
        self.control = pipeline.idle_motion(speech, source, self.rate, seed, control) if idle else control
        if pose is not None and (message := pipeline.beyond_training(speech, pose)):
            log.warning("TalkFace: %s", message)


def required(component: host.Component | None, socket: str, why: str) -> host.Component:
    """The component. Raises InputError, with the reason `why`, where the checkpoint had none."""
    if component is None:
        raise InputError(f"{socket} is empty: {why}")
    return is_a(host.Component, component, socket)


def speaking(speech2latent: host.Component | None) -> host.Component:
    """The network that hears for a speaker who is drawn whole. Raises InputError."""
    return required(
        speech2latent,
        "speech2latent",
        "the checkpoint in Load DAE-Talker repaints mouths in a video; choose one that draws a speaker whole, such as "
        "the bundled one, or use Dub Video (DAE-Talker)",
    )


def sampling_of(component: host.Component, sampler: str, steps: int) -> tuple[str | None, int | None]:
    """Sampler and steps as the core takes them (None: the model's own), checked against the model."""
    chosen = None if sampler == OWN else sampler, steps or None
    sampling(component.network.config, *chosen)
    return chosen


def speaking_inputs(*after_model: io.Input, sound: str) -> list[io.Input]:
    """The inputs that say what is spoken and how the head moves; `sound` says where the sound goes."""
    return [
        SPEECH2LATENT.Input("speech2latent", tooltip="The network that hears speech, from Load DAE-Talker."),
        *after_model,
        io.Audio.Input(
            "audio",
            tooltip=f"The speech: any length, rate and number of channels. {sound} Other voices count as speech, "
            "and some music is taken for it.",
        ),
        io.Float.Input(
            "fps",
            default=25.0,
            min=pipeline.SLOWEST,
            max=pipeline.FASTEST,
            step=0.01,
            tooltip="Frames per second of the video. Models are trained at 25; at other rates motion is interpolated, "
            "never pixels. The cost of drawing grows with it.",
        ),
        io.Float.Input(
            "pose_strength",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="How much a given head pose counts: 1 as given, 0 as predicted from speech. Without a head "
            "pose it has no effect.",
        ),
        io.Float.Input(
            "head_motion",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.05,
            tooltip="Stretches the head's predicted motion and sway: 1 as predicted, 0 a still head, above 1 livelier.",
        ),
        io.Float.Input(
            "expression",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="Stretches what the mouth does: 1 as predicted, 0 stays shut, 1.3 speaks up. Beyond 1.5 shapes "
            "may distort. Other than 1, hearing takes half as long again, and audio_encoder_output cannot be used.",
        ),
        io.Boolean.Input(
            "idle",
            default=True,
            tooltip="Blinks and a slow sway of the head, drawn from the seed: speech tells nothing of them. Off for a "
            "head that only speaks.",
        ),
        HEAD_POSE.Input(
            "head_pose", optional=True, tooltip="A pose or a motion of the head to follow, such as Head Pose gives."
        ),
        encoder_input(),
    ]


def drawing_inputs(
    sampler: str = "How noise becomes a frame. With the bundled model ddim and dpmpp_2m look alike. Equal cost.",
    steps: str = "(4 for the bundled one). Time grows with it; with the bundled model 1 is already close.",
) -> list[io.Input]:
    """The inputs that say how frames are drawn; `sampler` and `steps` are what is said of them."""
    return [
        advanced(
            io.Combo.Input(
                "sampler",
                options=[OWN, *SAMPLERS],
                default=OWN,
                tooltip=sampler,
            )
        ),
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=1000,
            tooltip=f"Network evaluations for each frame; 0 takes the model's own {steps}",
        ),
    ]
