"""Landmark diffusion's networks as a checkpoint holds them: how they are loaded and joined.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416): landmarks are completed by what the sound says, and
TalkFormer paints the lower face that they ask for. The acoustic model and the voice activity gate are ours. A host that
manages memory itself builds the two sides one by one with its own layers; `load_landmark_diffusion` is all that a
program without one needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..acoustic.hearing import Ears, no_ear, pick_ear
from ..acoustic.model import ACOUSTIC
from ..checkpoints import Checkpoint, CheckpointError, Header, find_checkpoint, read_checkpoint
from ..components import build, build_optional, table
from ..device import Operations, pick_layers, pick_place
from ..errors import InputError
from ..speech.vad import GATE
from .autoencoder import AUTOENCODER
from .completion import COMPLETION
from .completion_stream import CompletionModel
from .denoiser import TALKFORMER
from .kl_autoencoder import kl_space, read_kl_autoencoder
from .landmarks import SYSTEM
from .latent_space import OWN, LatentSpace
from .painter import TalkFormerModel

BUNDLED = "landmark_tiny"
COMPONENTS = table(AUTOENCODER, TALKFORMER, COMPLETION, GATE, ACOUSTIC)

__all__ = [
    "BUNDLED",
    "COMPONENTS",
    "SYSTEM",
    "LandmarkDiffusion",
    "build_completion",
    "build_painter",
    "load_landmark_diffusion",
    "needs_vae",
]


@dataclass(frozen=True)
class LandmarkDiffusion:
    """The system's networks, ready to run: who says where lips and jaw lie, and who paints them. `provenance` says what
    they were trained on."""

    path: Path
    completion: CompletionModel
    painter: TalkFormerModel
    provenance: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """What the painter computes in."""
        return self.painter.dtype

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self.painter.device


def load_landmark_diffusion(
    name_or_path: str | Path = BUNDLED,
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    vae: str | Path | None = None,
    ear: str | Path | None = None,
) -> LandmarkDiffusion:
    """Load a bundled checkpoint by name, or a file. `dtype` is the painter's; None: what suits the device. `vae`: a
    public file of Stable Diffusion's autoencoder, for a checkpoint in its space; it computes in float32. ear:
    who hears in the acoustic model's place, as `pick_ear` has it, in `dtype` too.

    Raises CheckpointError for a file that is not whole, InputError for a device that is not there.
    """
    device, dtype = pick_place(device, dtype)
    checkpoint = read_whole(name_or_path)
    if vae is not None and not needs_vae(checkpoint):
        raise InputError(f"--vae {vae}: {checkpoint.path.name} has an autoencoder of its own; leave it out")
    space = None if vae is None else kl_space(read_kl_autoencoder(vae))
    layers = pick_layers(device, dtype)
    painter = build_painter(checkpoint, layers, dtype, device, space)
    ears = pick_ear(ear, layers, dtype, device)
    completion = build_completion(checkpoint, ears).to(device)
    return LandmarkDiffusion(checkpoint.path, completion, painter, checkpoint.provenance)


def read_whole(name_or_path: str | Path) -> Checkpoint:
    """The checkpoint of a whole system, unloaded. Raises CheckpointError where a stage of training is missing."""
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    parts = (TALKFORMER, COMPLETION) if needs_vae(checkpoint) else (AUTOENCODER, TALKFORMER, COMPLETION)
    missing = [part.name for part in parts if part.name not in checkpoint.configs]
    if missing:
        raise CheckpointError(
            f"{checkpoint.path}: found only {', '.join(sorted(checkpoint.configs))}; expected {' and '.join(missing)} "
            "too: put what each stage of training made into one file."
        )
    return checkpoint


def build_completion(checkpoint: Checkpoint, ears: Ears = no_ear) -> CompletionModel:
    """The speech side with its weights, float32, on the CPU; `ears` says who hears in its acoustic model's place.
    Raises CheckpointError, also for a completion whose acoustic model is missing or another's, and another's ear."""
    net = build(checkpoint, COMPLETION)
    listens = not net.config.published and net.config.front is None
    acoustic = build_optional(checkpoint, ACOUSTIC) if listens else None
    if listens and acoustic is None:
        raise CheckpointError(
            f"{checkpoint.path}: its landmark completion hears an acoustic model of {net.config.audio} values a frame, "
            "found none; put both of one training run into the file."
        )
    try:
        return CompletionModel(net, acoustic, build_optional(checkpoint, GATE), ears(acoustic)).eval()
    except CheckpointError:
        raise
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def needs_vae(checkpoint: Header) -> bool:
    """Whether its painter works in the space of Stable Diffusion's VAE, which a checkpoint does not hold."""
    own = checkpoint.configs.get(TALKFORMER.name, {}).get("space", OWN)
    return own != OWN and AUTOENCODER.name not in checkpoint.configs


def build_painter(
    checkpoint: Checkpoint,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    space: LatentSpace | None = None,
) -> TalkFormerModel:
    """The autoencoder and the denoiser with their weights. Raises CheckpointError, also where one is not made for the
    other.

    space: for a checkpoint without an autoencoder of its own, else not looked at.
    """
    if not needs_vae(checkpoint):
        space = build(checkpoint, AUTOENCODER, operations, dtype, device)
    elif space is None:
        raise CheckpointError(
            f"{checkpoint.path}: its painter works in the space of Stable Diffusion's VAE, which no checkpoint holds; "
            "connect a VAE (Load VAE: sd-vae-ft-mse), on the command line give --vae FILE."
        )
    denoiser = build(checkpoint, TALKFORMER, operations, dtype, device)
    try:
        return TalkFormerModel(space.to(device), denoiser).eval()
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
