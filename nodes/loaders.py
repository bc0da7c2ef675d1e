"""Loaders: a checkpoint becomes components that travel through the graph under the host's model management."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from comfy_api.latest import io

from ..talkface_core.acoustic.hearing import NO_EAR
from ..talkface_core.checkpoints import CheckpointError, read_checkpoint, read_header
from ..talkface_core.components import build
from ..talkface_core.dae_talker import model as dae_talker
from ..talkface_core.errors import InputError
from ..talkface_core.ladtalk import model as ladtalk
from ..talkface_core.landmark_diffusion import model as landmark_diffusion
from ..talkface_core.landmark_diffusion.vae_space import VaeSpace
from ..talkface_core.see_the_speaker import model as see_the_speaker
from ..talkface_core.see_the_speaker.spoken_motion import motion_space
from . import host
from .ears import OWN_EAR, ear_fingerprint, ear_input, ears_of
from .loading import dtype_input, loaded
from .sockets import (
    COMPLETION,
    DAE,
    HRTF,
    MOTION_MODEL,
    PORTRAIT,
    SOVQAE,
    SPEECH2LATENT,
    SPEECH2LIPS,
    TALKFORMER,
    WAV2LIP,
    schema,
)

log = logging.getLogger(__name__)


class LoadDAETalker(io.ComfyNode):
    """A DAE-Talker checkpoint as its two halves: a speech side, and the diffusion autoencoder that draws."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadDAETalker",
            "Load DAE-Talker",
            "DAE-Talker",
            "Loads one speaker: the network that hears speech and the one that draws the face. A small speaker trained "
            "by the pack itself is bundled; your own go into models/talkface.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=host.checkpoint_names(dae_talker.SYSTEM),
                    tooltip="Which speaker. Bundled ones come first, then the .safetensors files of models/talkface. "
                    "A checkpoint is one person; train another with: python -m talkface_core train dae-talker. "
                    "DiffDub's public weights dub anybody; they can be converted: python -m talkface_core models "
                    "--convert.",
                ),
                dtype_input("the drawing network"),
                ear_input(),
            ],
            outputs=[
                SPEECH2LATENT.Output(
                    display_name="speech2latent",
                    tooltip="Hears speech and says, frame by frame, what the face does: latents and head pose. For "
                    "Speech to Latent or Talking Video.",
                ),
                DAE.Output(
                    display_name="dae",
                    tooltip="The diffusion autoencoder, which draws a frame from each latent. For DAE Decode, DAE "
                    "Encode or Talking Video; of a checkpoint that dubs, for Dub Video (DAE-Talker).",
                ),
                SPEECH2LIPS.Output(
                    display_name="speech2lips",
                    tooltip="Hears what anybody's lips do, for Dub Video (DAE-Talker). Only in checkpoints that dub, "
                    "such as DiffDub's converted ones, which have no speech2latent.",
                ),
            ],
            search_aliases=["talking head", "lip sync", "speech to video", "load talking face"],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, ear: str = OWN_EAR, **_: Any) -> str:
        """A file that was trained anew is loaded anew."""
        return ear_fingerprint(checkpoint, dae_talker.SYSTEM, ear)

    @classmethod
    def execute(cls, checkpoint: str, dtype: str, ear: str = OWN_EAR) -> io.NodeOutput:
        path = host.checkpoint_path(checkpoint, dae_talker.SYSTEM)
        dubs = dae_talker.dubs(read_header(path))
        whole = dae_talker.read_dubber(path) if dubs else dae_talker.read_whole(path)
        space = dae_talker.latent_space(whole)
        if dubs and ear not in (OWN_EAR, NO_EAR):
            raise InputError(f"{whole.path.stem} hears what Dub Video (DAE-Talker) is given; choose bundled as ear.")
        if dubs:
            hearing = host.managed(build(whole, dae_talker.SPEECH2LIPS))
        else:
            hearing = host.managed(dae_talker.build_speech(whole, ears_of(ear, dtype)))
        speech = host.Component(hearing, whole.path.stem, space, whole.provenance)
        does = "repaints" if dubs else "draws"
        drawing = loaded(whole, dae_talker.AUTOENCODER, dtype, does, dae_talker.build_drawing, space)
        return io.NodeOutput(None if dubs else speech, drawing, speech if dubs else None)


class LoadLaDTalk(io.ComfyNode):
    """A LaDTalk checkpoint as its two networks: the one that gives mouths other words, and the one that restores."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadLaDTalk",
            "Load LaDTalk",
            "LaDTalk",
            "Loads the networks that give a face in a video other words: Wav2Lip repaints the mouth of anybody, SOVQAE "
            "restores fine texture. Small ones, trained by the pack itself, are bundled; your own go into "
            "models/talkface.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=host.checkpoint_names(ladtalk.SYSTEM),
                    tooltip="Bundled ones come first, then the .safetensors files of models/talkface. RestoreFormer++ "
                    "restores faces at 512 px: python -m talkface_core models --fetch restoreformer++. The public "
                    "Wav2Lip weights can be converted (models --convert); they are for non-commercial use only.",
                ),
                dtype_input("both networks"),
                ear_input(),
            ],
            outputs=[
                WAV2LIP.Output(
                    display_name="wav2lip", tooltip="Hears speech and repaints mouths, for Wav2Lip or Dub Video."
                ),
                SOVQAE.Output(
                    display_name="sovqae",
                    tooltip="Restores the texture of faces, for SOVQAE Enhance or Dub Video. Not in every checkpoint: "
                    "converted Wav2Lip weights have none, RestoreFormer++ has nothing else.",
                ),
            ],
            search_aliases=["lip sync", "wav2lip", "dubbing", "face restoration"],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, ear: str = OWN_EAR, **_: Any) -> str:
        """A file that was trained anew is loaded anew."""
        return ear_fingerprint(checkpoint, ladtalk.SYSTEM, ear)

    @classmethod
    def execute(cls, checkpoint: str, dtype: str, ear: str = OWN_EAR) -> io.NodeOutput:
        whole = read_checkpoint(host.checkpoint_path(checkpoint, ladtalk.SYSTEM), ladtalk.SYSTEM)
        named = [ladtalk.WAV2LIP.name, ladtalk.TEXTURE.name]
        if not whole.configs.keys() & set(named):
            raise CheckpointError(
                f"{whole.path}: found only {', '.join(whole.configs)}; expected {' or '.join(named)}."
            )
        build_lips = partial(ladtalk.build_wav2lip_model, ears=ears_of(ear, dtype))
        lips = loaded(whole, ladtalk.WAV2LIP, dtype, "repaints", build_lips)
        return io.NodeOutput(lips, loaded(whole, ladtalk.TEXTURE, dtype, "restores"))


class LoadLandmarkDiffusion(io.ComfyNode):
    """A landmark diffusion checkpoint as its two sides: who says where lips and jaw lie, and who paints them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadLandmarkDiffusion",
            "Load Landmark Diffusion",
            "Landmark Diffusion",
            "Loads the networks that give anybody other words by way of landmarks: one hears where lips and jaw lie, "
            "TalkFormer paints the lower face there. Small ones, trained by the pack itself, are bundled; your own go "
            "into models/talkface.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=host.checkpoint_names(landmark_diffusion.SYSTEM),
                    tooltip="Bundled ones come first, then the .safetensors files of models/talkface. Train another "
                    "with: python -m talkface_core train landmark-diffusion.",
                ),
                dtype_input("the painting network"),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Stable Diffusion's VAE (sd-vae-ft-mse) from Load VAE, for checkpoints that were trained "
                    "in its latent space and hold no autoencoder. Others, such as the bundled one, do not use it.",
                ),
                ear_input(),
            ],
            outputs=[
                COMPLETION.Output(
                    display_name="completion",
                    tooltip="Hears speech and says where lips and jaw lie, for Landmark Complete or Dub Video "
                    "(Landmark Diffusion).",
                ),
                TALKFORMER.Output(
                    display_name="talkformer",
                    tooltip="Paints lower faces by landmarks and references, for TalkFormer Sampler or Dub Video "
                    "(Landmark Diffusion).",
                ),
            ],
            search_aliases=["lip sync", "talkformer", "dubbing", "landmarks"],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, ear: str = OWN_EAR, **_: Any) -> str:
        """A file that was trained anew is loaded anew."""
        return ear_fingerprint(checkpoint, landmark_diffusion.SYSTEM, ear)

    @classmethod
    def execute(cls, checkpoint: str, dtype: str, vae: Any = None, ear: str = OWN_EAR) -> io.NodeOutput:
        whole = landmark_diffusion.read_whole(host.checkpoint_path(checkpoint, landmark_diffusion.SYSTEM))
        hearing = host.managed(landmark_diffusion.build_completion(whole, ears_of(ear, dtype)))
        completion = host.Component(hearing, whole.path.stem, None, whole.provenance)
        shown = None if vae is None else host.HostVae(vae)
        if shown is not None and not landmark_diffusion.needs_vae(whole):
            log.info("TalkFace: %s has an autoencoder of its own: vae is not used", whole.path.stem)
            shown = None
        space = None if shown is None else VaeSpace(shown.encode, shown.decode)
        build_painter = partial(landmark_diffusion.build_painter, space=space)
        painter = loaded(whole, landmark_diffusion.TALKFORMER, dtype, "paints", build_painter)
        return io.NodeOutput(completion, painter and replace(painter, vae=shown))


class LoadSeeTheSpeaker(io.ComfyNode):
    """A See the Speaker checkpoint as its three sides: portraits of voices, motion of speech, and who draws both."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadSeeTheSpeaker",
            "Load See the Speaker",
            "See the Speaker",
            "Loads the networks that make a talking person of a voice: one guesses a portrait, one moves a face as the "
            "speech goes, one draws any portrait in that motion. Small ones, trained by the pack itself, are bundled; "
            "your own go into models/talkface.",
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=host.checkpoint_names(see_the_speaker.SYSTEM),
                    tooltip="Bundled ones come first, then the .safetensors files of models/talkface. The public "
                    "weights of LivePortrait (hrtf) and JoyVASA (motion_model) can be brought: python -m "
                    "talkface_core models --fetch liveportrait, and joyvasa.",
                ),
                dtype_input("the portrait's and the drawing networks"),
                ear_input(),
            ],
            outputs=[
                PORTRAIT.Output(
                    display_name="portrait_model",
                    tooltip="Guesses a portrait from a voice, for Speech to Portrait or Talking Video from Voice. Not "
                    "in every checkpoint: converted ones have none.",
                ),
                MOTION_MODEL.Output(
                    display_name="motion_model",
                    tooltip="Hears speech and says how face, eyes and head move, for Speech to Motion or the nodes "
                    "that make a video.",
                ),
                HRTF.Output(
                    display_name="hrtf",
                    tooltip="Draws a portrait in motion, with the codebook that makes it sharp, for Render Motion or "
                    "the nodes that make a video; Speech to Portrait takes its codebook.",
                ),
            ],
            search_aliases=["talking head", "portrait animation", "voice to face", "liveportrait", "joyvasa"],
        )

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str, ear: str = OWN_EAR, **_: Any) -> str:
        """A file that was trained anew is loaded anew."""
        return ear_fingerprint(checkpoint, see_the_speaker.SYSTEM, ear)

    @classmethod
    def execute(cls, checkpoint: str, dtype: str, ear: str = OWN_EAR) -> io.NodeOutput:
        whole = read_checkpoint(host.checkpoint_path(checkpoint, see_the_speaker.SYSTEM), see_the_speaker.SYSTEM)
        named = [part.name for part in (see_the_speaker.PORTRAIT, see_the_speaker.MOTION, see_the_speaker.RENDERER)]
        if not whole.configs.keys() & set(named):
            raise CheckpointError(
                f"{whole.path}: found only {', '.join(whole.configs)}; expected {' or '.join(named)}."
            )
        portrait, motion, space = None, None, motion_space(whole)
        if see_the_speaker.can_imagine(whole):
            portrait = loaded(whole, see_the_speaker.PORTRAIT, dtype, "imagines", see_the_speaker.build_portrait, space)
        if see_the_speaker.MOTION.name in whole.configs:
            hearing = host.managed(see_the_speaker.build_motion(whole, ears_of(ear, dtype)))
            motion = host.Component(hearing, whole.path.stem, space, whole.provenance)
        drawing = loaded(whole, see_the_speaker.RENDERER, dtype, "draws", see_the_speaker.build_renderer, space)
        return io.NodeOutput(portrait, motion, drawing)
