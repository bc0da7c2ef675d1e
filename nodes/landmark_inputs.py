"""The inputs that all landmark diffusion nodes share, and what they mean."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..talkface_core.diffusion.sampling import SAMPLERS
from ..talkface_core.ladtalk.enhance import enhance_memory
from ..talkface_core.ladtalk.restored import RestoredMouths
from ..talkface_core.landmark_diffusion.completion_stream import LARGEST_STRENGTH
from ..talkface_core.landmark_diffusion.painter import Sampling
from ..talkface_core.landmark_diffusion.pipeline import LandmarkMouths
from ..talkface_core.speech.features import EncodedAudio
from . import host
from .repaint import ManagedMouths, end_if_cancelled
from .sockets import is_a, seed_input

SYSTEM = "Landmark Diffusion"
"""The nodes' place in the menu."""

_PLAIN = Sampling()


def motion_input() -> io.Input:
    """How far the mouth moves."""
    return io.Float.Input(
        "strength",
        default=1.0,
        min=0.0,
        max=LARGEST_STRENGTH,
        step=0.05,
        tooltip="How far the mouth moves from rest: 1 as heard, 0 not at all, 1.3 speaks up.",
    )


def smoothing_input() -> io.Input:
    """How calmly it moves."""
    return io.Float.Input(
        "smoothing",
        default=0.0,
        min=0.0,
        max=3.0,
        step=0.05,
        tooltip="Smooths the mouth's motion over time, without delay: 0 not at all, 1 strong, which mumbles.",
    )


def sampling_inputs() -> list[io.Input]:
    """How lower faces are sampled."""
    return [
        io.Combo.Input(
            "sampler",
            options=[_PLAIN.sampler, *(name for name in SAMPLERS if name != _PLAIN.sampler)],
            default=_PLAIN.sampler,
            tooltip="dpmpp_2m needs few steps; ddim is the plain one, for comparison.",
        ),
        io.Int.Input(
            "steps",
            default=_PLAIN.steps,
            min=1,
            max=1000,
            tooltip="Evaluations of the network a frame. The default is enough; the time grows with it.",
        ),
        seed_input("The noise that all frames begin with. Another one gives slightly other skin and teeth."),
        io.Float.Input(
            "guidance",
            default=_PLAIN.guidance,
            min=0.0,
            max=10.0,
            step=0.1,
            tooltip="How far the landmarks count beyond a mouth at rest: 1 as trained, more exaggerates. Other than 1 "
            "takes twice the time.",
        ),
    ]


def speaking_mouths(
    completion: host.Component,
    talkformer: host.Component,
    sampling: Sampling,
    strength: float,
    sovqae: host.Component | None,
    texture: float | None,
    audio_encoder_output: dict[str, Any] | None,
) -> ManagedMouths:
    """Both networks as one lip-sync model, its mouths restored by the SOVQAE if there is one, as far as `texture`."""
    hearing, painting = is_a(host.Component, completion, "completion"), is_a(host.Component, talkformer, "talkformer")
    mouths = LandmarkMouths(
        painting.network,
        hearing.network,
        sampling,
        strength,
        encoded=None if audio_encoder_output is None else EncodedAudio(audio_encoder_output),
        callback=end_if_cancelled,
    )
    if sovqae is None:
        return ManagedMouths(mouths, (hearing, painting), mouths.memory)
    restoring = is_a(host.Component, sovqae, "sovqae")

    def memory(frames: int) -> float:
        return max(mouths.memory(frames), enhance_memory(restoring.network, frames))

    return ManagedMouths(RestoredMouths(mouths, restoring.network, texture), (hearing, painting, restoring), memory)
