"""The recipes by name. A recipe's module, and torch with it, is imported when the recipe is chosen."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from .training.recipe import Plan, Recipe


@dataclass(frozen=True)
class Entry:
    """Where a recipe's class stands (module of this package, class), and what it trains in a few words."""

    module: str
    cls: str
    about: str


RECIPES = {
    "dae-talker-autoencoder": Entry(
        *("dae_talker.recipe", "AutoencoderRecipe"),
        "DAE-Talker, stage 1: the diffusion autoencoder on single frames of one speaker",
    ),
    "dae-talker": Entry(
        *("dae_talker.recipe_speech2latent", "Speech2LatentRecipe"),
        "DAE-Talker, stage 2: speech to the latents of a trained autoencoder, and the silence gate",
    ),
    "gate": Entry(
        *("dae_talker.recipe_gate", "GateRecipe"),
        "the voice activity gate alone: speech against music, crowds, animals, machines",
    ),
    "dae-talker-upsampler": Entry(
        *("dae_talker.recipe_upsampler", "UpsamplerRecipe"),
        "DAE-Talker, stage 3: the upsampler, which enlarges the autoencoder's frames and sharpens them",
    ),
    "landmark-probe": Entry(
        *("evaluation.recipe_probe", "ProbeRecipe"),
        "the measuring instrument: landmarks, mouth, eyes and pose off a frame",
    ),
    "faces": Entry(
        *("faces.recipe_faces", "FaceRecipe"),
        "the bundled face nets: where faces are, their landmarks and the head's pose",
    ),
    "acoustic": Entry("acoustic.recipe", "AcousticRecipe", "the acoustic model: what speech makes a mouth do"),
    "whisper-ear": Entry(
        "acoustic.recipe_ear", "EarRecipe", "an ear that hears by Whisper, for networks that hear the acoustic model"
    ),
    "whisper-ear-tuning": Entry(
        *("acoustic.recipe_ear_tuning", "EarTuningRecipe"), "the same ear and its Whisper's blocks, together"
    ),
    "sync": Entry("sync.recipe", "SyncRecipe", "the lip expert: are lips and sound in step?"),
    "wav2lip": Entry("ladtalk.recipe", "Wav2LipRecipe", "Wav2Lip's generator against a trained lip expert"),
    "wav2lip-hearing": Entry(
        "ladtalk.recipe_hearing",
        "HearingRecipe",
        "a Wav2Lip that hears the log-mel learns to hear the acoustic model beside it",
    ),
    "sovqae": Entry(
        *("ladtalk.recipe_sovqae", "SOVQAERecipe"),
        "SOVQAE, the VQ auto-encoder that restores texture: of many people, or with --init of one",
    ),
    "landmark-autoencoder": Entry(
        *("landmark_diffusion.training.recipe_autoencoder", "AutoencoderRecipe"),
        "landmark diffusion, stage 1: the latent space, and how references are carried over",
    ),
    "landmark-completion": Entry(
        *("landmark_diffusion.training.recipe_completion", "CompletionRecipe"),
        "landmark diffusion, stage 2: speech to the landmarks of jaw and lips",
    ),
    "landmark-diffusion": Entry(
        *("landmark_diffusion.training.recipe_diffusion", "DiffusionRecipe"),
        "landmark diffusion, stage 3: the denoiser with TalkFormer, under true landmarks",
    ),
    "landmark-end-to-end": Entry(
        *("landmark_diffusion.training.recipe_end_to_end", "EndToEndRecipe"),
        "landmark diffusion, stage 4: completion and denoiser together, judged by the picture",
    ),
    "see-the-speaker-codebook-vq": Entry(
        *("see_the_speaker.training.recipe_codebook_vq", "AutoencoderRecipe"),
        "See the Speaker, codebook, stage 1: the auto-encoder of sharp faces and its codes",
    ),
    "see-the-speaker-codebook": Entry(
        *("see_the_speaker.training.recipe_codebook", "CodebookRecipe"),
        "See the Speaker, codebook, stages 2 and 3: sharp faces' codes off soft ones, and fidelity",
    ),
    "see-the-speaker-renderer": Entry(
        *("see_the_speaker.training.recipe_renderer", "RendererRecipe"),
        "See the Speaker: the renderer, which reads a face's motion and moves a portrait by it",
    ),
    "see-the-speaker-portrait-space": Entry(
        *("see_the_speaker.training.recipe_portrait_space", "PortraitSpaceRecipe"),
        "See the Speaker, portraits 1: the latent space, of rendered people alone",
    ),
    "see-the-speaker-conre": Entry(
        *("see_the_speaker.training.recipe_conre", "ConReRecipe"),
        "See the Speaker, portraits 2: speech and faces in one space",
    ),
    "see-the-speaker-portrait": Entry(
        *("see_the_speaker.training.recipe_portrait", "PortraitRecipe"),
        "See the Speaker, portraits 3: the denoiser with face prior, from a voice",
    ),
    "see-the-speaker-motion": Entry(
        *("see_the_speaker.training.recipe_motion", "MotionRecipe"),
        "See the Speaker: speech to the motion of lips, eyes and head",
    ),
    "see-the-speaker-lips": Entry(
        *("see_the_speaker.training.recipe_lip_refinement", "LipRecipe"),
        "See the Speaker: the refinement of a made motion's lips",
    ),
}


def recipe_class(name: str) -> type[Recipe]:
    """A recipe's class by the recipe's name. Raises InputError for a name that is none."""
    if name not in RECIPES:
        raise InputError(f"recipe {name!r} is unknown; choose one of {', '.join(RECIPES)}.")
    entry = RECIPES[name]
    return getattr(import_module(f".{entry.module}", __package__), entry.cls)


def make_plan(name: str, args: argparse.Namespace) -> Plan:
    """What the arguments ask of a recipe (see `Recipe.from_args`); the same seed gives the same first weights."""
    import torch

    chosen = recipe_class(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        return chosen.from_args(args)
