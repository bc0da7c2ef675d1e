"""The pack's own socket types, and the one way in which its nodes describe themselves.

What travels: TALKFACE_DAE, TALKFACE_COMPLETION, TALKFACE_TALKFORMER, TALKFACE_SPEECH2LATENT, TALKFACE_SPEECH2LIPS,
TALKFACE_WAV2LIP, TALKFACE_SOVQAE, TALKFACE_PORTRAIT, TALKFACE_MOTION_MODEL and TALKFACE_HRTF a `host.Component`, all
but the first three None where a checkpoint lacks them; TALKFACE_LATENTS a `talkface_core.dae_talker.latents.Latents`;
TALKFACE_MOTION a `talkface_core.see_the_speaker.spoken_motion.SpokenMotion`; HEAD_POSE a
`talkface_core.faces.head_pose.HeadPose`; FACE_TRACK a `talkface_core.faces.track.FaceTrack`; FACE_CROP a
`talkface_core.faces.align.FaceCrop`. FACE_LANDMARKS is newer ComfyUI's own.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from comfy_api.latest import io

from ..talkface_core.errors import InputError

PREFIX = "TalkFace"

DAE = io.Custom("TALKFACE_DAE")
SPEECH2LATENT = io.Custom("TALKFACE_SPEECH2LATENT")
SPEECH2LIPS = io.Custom("TALKFACE_SPEECH2LIPS")
WAV2LIP = io.Custom("TALKFACE_WAV2LIP")
SOVQAE = io.Custom("TALKFACE_SOVQAE")
COMPLETION = io.Custom("TALKFACE_COMPLETION")
TALKFORMER = io.Custom("TALKFACE_TALKFORMER")
PORTRAIT = io.Custom("TALKFACE_PORTRAIT")
MOTION_MODEL = io.Custom("TALKFACE_MOTION_MODEL")
HRTF = io.Custom("TALKFACE_HRTF")
LATENTS = io.Custom("TALKFACE_LATENTS")
MOTION = io.Custom("TALKFACE_MOTION")
HEAD_POSE = io.Custom("HEAD_POSE")
FACE_TRACK = io.Custom("FACE_TRACK")
FACE_CROP = io.Custom("FACE_CROP")
FACE_LANDMARKS = io.Custom("FACE_LANDMARKS")
AUDIO_UI = io.Custom("AUDIO_UI")

LARGEST_SEED = 2**63 - 1

Value = TypeVar("Value")

_KNOWN = {field.name for field in fields(io.Schema)}


def schema(name: str, title: str, system: str, description: str, **parts: Any) -> io.Schema:
    """The schema of the node class `name`: its id carries the pack's prefix, its category the pack and the system.

    `parts` are io.Schema's; those that an older host does not know yet are left out.
    """
    known = {key: value for key, value in parts.items() if key in _KNOWN}
    category = f"{PREFIX}/{system}" if system else PREFIX
    return io.Schema(
        node_id=PREFIX + name, display_name=title, category=category, description=description.strip(), **known
    )


def advanced(widget: io.Input) -> io.Input:
    """The same widget, tucked away under "advanced" on hosts that have such a place; others ignore the mark."""
    widget.extra_dict = {**widget.extra_dict, "advanced": True}
    return widget


def seed_input(tooltip: str) -> io.Input:
    """The seed widget that every drawing node has."""
    return io.Int.Input("seed", default=0, min=0, max=LARGEST_SEED, control_after_generate=True, tooltip=tooltip)


def encoder_input() -> io.Input:
    """What an audio encoder of the host has heard."""
    return advanced(
        io.AudioEncoderOutput.Input(
            "audio_encoder_output",
            optional=True,
            tooltip="Features of the same sound from Audio Encoder Encode (wav2vec 2.0, Whisper), for checkpoints "
            "that were trained on them. The bundled model was not and says so.",
        )
    )


def is_a(kind: type[Value], value: Any, socket: str) -> Value:
    """`value`, after making sure that it is what the socket promises: another pack may use the same socket name."""
    if not isinstance(value, kind):
        type_name = type(value).__name__
        raise InputError(f"the input {socket} got a {type_name} from another pack; connect a TalkFace node's {socket}")
    return value
