"""The recipes by name: what the flags of `train` make of each. One function per recipe, imported when it is chosen."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..dae_talker.autoencoder import DiffusionAutoencoder
    from ..datasets.clips import ClipSet
    from ..datasets.talking_faces import TalkingFaces
    from ..training.config import TrainConfig
    from ..training.recipe import Recipe

SPEECH_STEPS = {"tiny": 3000, "base": 100_000}
MEL_VERSIONS = 3  # of each clip's sound: as recorded, and with noises and rooms
ENCODED_AT_ONCE = 64


@dataclass(frozen=True)
class Plan:
    """A recipe over its data, with the settings and the number of steps that it was made for."""

    recipe: Recipe
    config: TrainConfig
    steps: int


def dae_talker_autoencoder(args: argparse.Namespace) -> Plan:
    """DAE-Talker, stage 1: the diffusion autoencoder on single frames."""
    from ..dae_talker.autoencoder import AutoencoderConfig
    from ..dae_talker.recipe import BATCH_SIZE, LOSSES, STEPS, TRAINING, AutoencoderRecipe

    refuse(args, "autoencoder", "voices", "expert")
    preset = args.preset or "tiny"
    config = AutoencoderConfig.preset(preset)
    batch = args.batch_size or BATCH_SIZE[preset]
    recipe = AutoencoderRecipe(
        *(clips(args)[0], config, cache(args), batch, LOSSES[preset]), compile=args.compile, quiet=args.quiet
    )
    return Plan(recipe, TRAINING[preset], STEPS[preset])


def dae_talker(args: argparse.Namespace) -> Plan:
    """DAE-Talker, stage 2: speech to the latents of a trained autoencoder, and the silence gate."""
    refuse(args, "compile", "expert")
    if args.autoencoder is None:
        raise InputError("dae-talker needs --autoencoder: the checkpoint that dae-talker-autoencoder made of this face")
    import torch

    from ..dae_talker.model import load_autoencoder
    from ..dae_talker.recipe_speech2latent import TRAINING, Speech2LatentRecipe
    from ..dae_talker.speech2latent import Speech2LatentConfig
    from ..dae_talker.speech_batches import Speech2LatentTraining
    from ..dae_talker.speech_data import read_clips, read_voices

    preset, train, settings = args.preset or "tiny", clips(args)[0], Speech2LatentTraining()
    autoencoder = load_autoencoder(args.autoencoder, args.device, torch.float32)
    folders = [Path(folder).absolute() for folder in args.voices or ()]
    voices = [
        voice for n, folder in enumerate(folders, 1) for voice in read_voices(folder, MEL_VERSIONS, args.seed + n)
    ]
    recipe = Speech2LatentRecipe(
        read_clips(train, latents_of(args, train, autoencoder), MEL_VERSIONS, args.seed),
        Speech2LatentConfig.preset(preset, latent_dim=autoencoder.config.latent_dim),
        voices,
        replace(
            settings, seed=args.seed, own=args.batch_size or settings.own, voices=args.batch_size or settings.voices
        ),
        frozen={"autoencoder": autoencoder.cpu()},
        frozen_configs={"autoencoder": autoencoder.config.to_dict()},
        data=", ".join([train.name, *(f"{folder.parent.name}/{folder.name}" for folder in folders)]),
    )
    return Plan(recipe, TRAINING[preset], SPEECH_STEPS[preset])


def landmark_probe(args: argparse.Namespace) -> Plan:
    """The measuring instrument: landmarks, mouth, eyes and pose off a frame."""
    refuse(args, "preset", "batch_size", "compile", "autoencoder", "voices", "expert")
    from ..evaluation.recipe_probe import STEPS, TRAIN, ProbeRecipe

    train, val = clips(args)
    return Plan(ProbeRecipe(train, cache(args), val), TRAIN, STEPS)


def faces(args: argparse.Namespace) -> Plan:
    """The bundled face net: where faces are, their landmarks and the head's pose."""
    refuse(args, "preset", "batch_size", "autoencoder", "voices", "expert")
    from ..faces.recipe_data import FacePictures
    from ..faces.recipe_faces import STEPS, TRAIN, FaceRecipe

    return Plan(
        FaceRecipe(FacePictures.open(args.data, cache(args), quiet=args.quiet), compile=args.compile), TRAIN, STEPS
    )


def sync(args: argparse.Namespace) -> Plan:
    """The lip expert: are lips and sound in step?"""
    refuse(args, "autoencoder", "voices", "expert")
    from ..sync.recipe import BATCHES, LOSSES, STEPS, TRAINING, SyncRecipe
    from ..sync.syncnet import SyncNetConfig

    preset = args.preset or "tiny"
    config, batches = SyncNetConfig.preset(preset), BATCHES[preset]
    data, val = talking(args, config.size, MEL_VERSIONS if batches.augment else 1)
    batches = replace(batches, clips=args.batch_size or batches.clips)
    recipe = SyncRecipe(data, config, val, batches, LOSSES[preset], args.compile, args.seed)
    return Plan(recipe, TRAINING[preset], STEPS[preset])


def wav2lip(args: argparse.Namespace) -> Plan:
    """Wav2Lip's generator against a trained lip expert."""
    refuse(args, "autoencoder", "voices")
    from ..ladtalk.recipe import BATCHES, EVAL_EVERY, STEPS, TRAINING, WEIGHTS, Wav2LipRecipe
    from ..ladtalk.wav2lip import Wav2LipConfig
    from ..sync.syncnet import load_syncnet

    preset = args.preset or "tiny"
    config, batches = Wav2LipConfig.preset(preset), BATCHES[preset]
    expert = load_syncnet(args.expert or "sync_tiny")
    data, val = talking(args, config.size, MEL_VERSIONS if batches.augment else 1)
    if args.batch_size:
        batches = replace(batches, windows=args.batch_size, singles=9 * args.batch_size if batches.singles else 0)
    if args.init:
        batches = replace(batches, alone=0)  # it can hear
    recipe = Wav2LipRecipe(
        data, expert, config, val, batches, WEIGHTS[preset], EVAL_EVERY[preset], args.init, args.compile, args.seed
    )
    return Plan(recipe, TRAINING[preset], STEPS[preset])


def sovqae(args: argparse.Namespace) -> Plan:
    """SOVQAE, the VQ auto-encoder that restores texture: of many people, or with --init of one."""
    refuse(args, "autoencoder", "voices", "expert")
    import torch

    from ..checkpoints import find_checkpoint, read_checkpoint
    from ..datasets.aligned_faces import face_crops
    from ..device import pick_dtype
    from ..ladtalk.lpips import LPIPS, find_vgg
    from ..ladtalk.patch_discriminator import DiscriminatorConfig
    from ..ladtalk.recipe_sovqae import BATCHES, LOSSES, OWN_STEPS, STEPS, TRAINING, SOVQAERecipe, own
    from ..ladtalk.sovqae import SOVQAEConfig
    from ..ladtalk.training_repainted import repaint_set
    from ..ladtalk.wav2lip import SYSTEM, load_wav2lip

    preset = args.preset or "tiny"
    config, batches, loss, train = SOVQAEConfig.preset(preset), BATCHES[preset], LOSSES[preset], clips(args)[0]
    batches = replace(batches, batch_size=args.batch_size or batches.batch_size)
    if args.soft is not None:
        batches = replace(batches, soft=args.soft)
    vgg = find_vgg() if preset == "base" else None
    painted = None
    if args.wav2lip:
        net = load_wav2lip(read_checkpoint(find_checkpoint(args.wav2lip), SYSTEM))
        net.to(pick_dtype(torch.device("cpu")), memory_format=torch.channels_last)
        painted = repaint_set(net, talking(args, net.config.size, 1)[0], quiet=args.quiet)
    recipe = SOVQAERecipe(
        face_crops(train, config.image_size, cache(args), quiet=args.quiet).frames,
        train.name,
        config,
        DiscriminatorConfig.preset(preset),
        own(loss) if args.init else loss,
        batches,
        LPIPS.load(vgg) if vgg else None,
        args.init,
        painted,
        args.compile,
    )
    return Plan(recipe, TRAINING[preset], (OWN_STEPS if args.init else STEPS)[preset])


RECIPES: dict[str, Callable[[argparse.Namespace], Plan]] = {
    "dae-talker-autoencoder": dae_talker_autoencoder,
    "dae-talker": dae_talker,
    "landmark-probe": landmark_probe,
    "faces": faces,
    "sync": sync,
    "wav2lip": wav2lip,
    "sovqae": sovqae,
}


def clips(args: argparse.Namespace) -> tuple[ClipSet, ClipSet | None]:
    """The clips to train on and, where the set has one, its `val` split: --data names the set or its `train` folder."""
    from ..datasets.clips import ClipSet

    folder = Path(args.data).absolute()
    if (folder / "train").is_dir():
        folder = folder / "train"
    beside = folder.parent / "val"
    val = ClipSet.open(beside) if folder.name == "train" and beside.is_dir() else None
    return ClipSet.open(folder), val


def talking(args: argparse.Namespace, size: int, versions: int) -> tuple[TalkingFaces, TalkingFaces | None]:
    """The aligned faces of the clips with their sound, and those of the `val` split, clean."""
    from ..datasets.aligned_faces import talking_faces

    train, val = clips(args)
    data = talking_faces(train, size, cache(args), versions=versions, seed=args.seed, quiet=args.quiet)
    return data, talking_faces(val, size, cache(args), quiet=args.quiet) if val else None


def refuse(args: argparse.Namespace, *flags: str) -> None:
    """Raises InputError for a flag that the recipe has no use for."""
    for flag in flags:
        if getattr(args, flag):
            raise InputError(f"{args.recipe} has no use for --{flag.replace('_', '-')}; leave it out")


def latents_of(args: argparse.Namespace, train: ClipSet, autoencoder: DiffusionAutoencoder) -> NDArray[np.float32]:
    """The latents [N, D] of all frames of the clips."""
    import torch
    from tqdm import tqdm

    from ..dae_talker.decode import encode

    frames = train.frame_cache(autoencoder.config.image_size, cache(args), args.quiet)
    starts = tqdm(range(0, len(frames), ENCODED_AT_ONCE), desc="latents", disable=args.quiet)
    chunks = (torch.from_numpy(frames[start : start + ENCODED_AT_ONCE].copy()) for start in starts)
    return torch.cat(list(encode(autoencoder, chunks))).numpy()


def cache(args: argparse.Namespace) -> Path:
    """The folder for decoded frames."""
    return Path(args.cache) if args.cache else Path(args.out) / "cache"
