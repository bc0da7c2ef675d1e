"""The recipes by name: what the flags of `train` make of each. One function per recipe, imported when it is chosen."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from talkface_core.errors import InputError

if TYPE_CHECKING:
    from talkface_core.training.config import TrainConfig
    from talkface_core.training.data import ClipSet
    from talkface_core.training.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """A recipe over its data, with the settings and the number of steps that it was made for."""

    recipe: Recipe
    config: TrainConfig
    steps: int


def dae_talker_autoencoder(args: argparse.Namespace) -> Plan:
    """DAE-Talker, stage 1: the diffusion autoencoder on single frames."""
    from talkface_core.dae_talker.autoencoder import autoencoder_config
    from talkface_core.dae_talker.recipe import BATCH_SIZE, LOSSES, STEPS, TRAINING, AutoencoderRecipe

    preset = args.preset or "tiny"
    config = autoencoder_config(preset)
    batch = args.batch_size or BATCH_SIZE[preset]
    recipe = AutoencoderRecipe(
        *(clips(args)[0], config, cache(args), batch, LOSSES[preset]), compile=args.compile, quiet=args.quiet
    )
    return Plan(recipe, TRAINING[preset], STEPS[preset])


def landmark_probe(args: argparse.Namespace) -> Plan:
    """The measuring instrument: landmarks, mouth, eyes and pose off a frame."""
    for flag in ("preset", "batch_size", "compile"):
        if getattr(args, flag):
            raise InputError(f"landmark-probe has one size and batch; leave out --{flag.replace('_', '-')}")
    from talkface_core.evaluation.recipe_probe import STEPS, TRAIN, ProbeRecipe

    train, val = clips(args)
    return Plan(ProbeRecipe(train, cache(args), val), TRAIN, STEPS)


RECIPES: dict[str, Callable[[argparse.Namespace], Plan]] = {
    "dae-talker-autoencoder": dae_talker_autoencoder,
    "landmark-probe": landmark_probe,
}


def clips(args: argparse.Namespace) -> tuple[ClipSet, ClipSet | None]:
    """The clips to train on and, where the set has one, its `val` split: --data names the set or its `train` folder."""
    from talkface_core.training.data import ClipSet

    folder = Path(args.data).absolute()
    if (folder / "train").is_dir():
        folder = folder / "train"
    beside = folder.parent / "val"
    val = ClipSet.open(beside) if folder.name == "train" and beside.is_dir() else None
    return ClipSet.open(folder), val


def cache(args: argparse.Namespace) -> Path:
    """The folder for decoded frames."""
    return Path(args.cache) if args.cache else Path(args.out) / "cache"
