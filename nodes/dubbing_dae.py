"""The inpainting DAE-Talker in one node: a video of any length and a new sound to a finished video, streamed.

Source: DiffDub (Liu et al. 2024), on DAE-Talker (Du et al. 2023). The work is done in talkface_core/dubbing with
talkface_core/dae_talker/mouths.py; here are the sockets and the words.
"""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.dae_talker.inpainting import Inpainting
from ..talkface_core.dae_talker.mouths import InpaintedMouths
from ..talkface_core.errors import InputError
from ..talkface_core.media.audio import audio_source
from ..talkface_core.speech.features import EncodedAudio
from . import host
from .dae_inputs import drawing_inputs, required, sampling_of
from .dubbing import dubbed, film_inputs, finished, video_output
from .face_inputs import choice_inputs, chosen, detector_inputs, detector_of, mask_input, smoothing_input
from .repaint import ManagedMouths, end_if_cancelled, length_input
from .sockets import DAE, SPEECH2LIPS, schema, seed_input

_DRAWS = (
    "the checkpoint in Load DAE-Talker draws one speaker whole; choose one that dubs: convert DiffDub's public files "
    "into models/talkface (python -m talkface_core models --convert stage1_state_dict.ckpt stage2_state_dict.ckpt -o "
    "diffdub.safetensors)"
)


class DubVideoDAE(io.ComfyNode):
    """A video to one that says another sound, streamed: tracking, lip latents, the inpainting decoder and the encoder
    in one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "DubVideoDAE",
            "Dub Video (DAE-Talker)",
            "DAE-Talker",
            "A video of anybody and a new sound to a finished video that says it, with weights that you bring: "
            "DiffDub's public ones. Same size and rate, written to disk as it is made. Marked as synthetic.",
            inputs=[
                SPEECH2LIPS.Input(
                    "speech2lips",
                    tooltip="The network that hears what lips do, from Load DAE-Talker with a checkpoint that dubs.",
                ),
                DAE.Input("dae", tooltip="The network that repaints mouths, from the same loader."),
                *film_inputs(),
                io.AudioEncoderOutput.Input(
                    "audio_encoder_output",
                    tooltip="What the speech encoder that the checkpoint was trained on hears in the same sound: Audio "
                    "Encoder Loader, then Audio Encoder Encode. For DiffDub's weights the Chinese HuBERT-large.",
                ),
                *choice_inputs(),
                length_input(
                    "Sound that goes on after a video that is not repeated is cut off.", "lips as the sound left them"
                ),
                *drawing_inputs(
                    "How noise becomes a mouth: ddim is as published, dpmpp_2m is made for few steps. Equal cost.",
                    "(20 for DiffDub's). Time grows with it.",
                ),
                seed_input("The noise that all frames begin with. Another one gives slightly other skin and teeth."),
                smoothing_input(),
                *detector_inputs(),
                mask_input(),
            ],
            outputs=[video_output()],
            search_aliases=["lip sync", "dubbing", "diffdub", "translate video", "long video"],
        )

    @classmethod
    def execute(
        cls,
        speech2lips: host.Component | None,
        dae: host.Component,
        video: Any,
        audio: dict[str, Any],
        audio_encoder_output: dict[str, Any],
        face: str,
        index: int,
        x: int,
        y: int,
        length: str,
        sampler: str,
        steps: int,
        seed: int,
        smoothing: float,
        detector: str,
        threshold: float,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        hearing, painting = required(speech2lips, "speech2lips", _DRAWS), required(dae, "dae", _DRAWS)
        if hearing.space != painting.space:
            raise InputError(
                f"speech2lips is of the model {hearing.name!r} and dae of {painting.name!r}: take both from one loader"
            )
        mouths = InpaintedMouths(
            painting.network,
            hearing.network,
            lambda weights: EncodedAudio.mixed(audio_encoder_output, weights),
            Inpainting(*sampling_of(painting, sampler, steps), seed),
            end_if_cancelled,
        )
        result = dubbed(
            ManagedMouths(mouths, (hearing, painting), mouths.memory),
            video,
            audio_source(audio),
            detector=detector_of(detector, threshold),
            choice=chosen(face, index, x, y, mask),
            smoothing=smoothing,
            length=length,
        )
        return finished(result)
