"""LaDTalk's networks as a checkpoint holds them: how they are loaded and joined.

Source: LaDTalk (Yang et al. 2024): Wav2Lip says the words, the SOVQAE restores the texture. The voice activity gate is
ours. A host that manages memory itself builds the parts one by one with its own layers; `load_ladtalk` is all that a
program without one needs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..acoustic.hearing import Ears, OutsideEar, no_ear, pick_ear
from ..acoustic.model import ACOUSTIC, AcousticModel, heard_model
from ..checkpoints import Checkpoint, CheckpointError, find_checkpoint, read_checkpoint
from ..components import build, build_optional, table
from ..device import Operations, pick_layers, pick_place
from ..errors import InputError
from ..speech.vad import GATE, VoiceActivityGate
from .sovqae import SOVQAE, TEXTURE
from .wav2lip import SYSTEM, WAV2LIP, Wav2Lip, Wav2LipConfig

BUNDLED = "ladtalk_tiny"
COMPONENTS = table(WAV2LIP, TEXTURE, GATE, ACOUSTIC)

__all__ = [
    "BUNDLED",
    "COMPONENTS",
    "SYSTEM",
    "LaDTalk",
    "Wav2LipModel",
    "build_wav2lip_model",
    "hearing_of",
    "load_ladtalk",
    "load_sovqae",
]


class Wav2LipModel(nn.Module):
    """The speech side: Wav2Lip, the voice activity gate it hears through (None where a checkpoint has none), the
    acoustic model that listens for it (None: it hears the log-mel itself, as published), and the ear that listens in
    the acoustic model's place (None: itself). Raises InputError for an ear that is not the acoustic model's."""

    def __init__(
        self,
        wav2lip: Wav2Lip,
        gate: VoiceActivityGate | None = None,
        acoustic: AcousticModel | None = None,
        ear: OutsideEar | None = None,
    ) -> None:
        super().__init__()
        if ear is not None:
            ear.check(acoustic)
        self.wav2lip, self.gate, self.acoustic, self.ear = wav2lip, gate, acoustic, ear


@dataclass(frozen=True)
class LaDTalk:
    """The system's networks, ready to run. `sovqae` is None where a checkpoint has none: mouths then stay as soft as
    Wav2Lip's are. `provenance` says what they were trained on."""

    path: Path
    lips: Wav2LipModel
    sovqae: SOVQAE | None
    provenance: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """What Wav2Lip computes in."""
        return self.lips.wav2lip.pixels.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self.lips.wav2lip.pixels.weight.device


def load_ladtalk(
    name_or_path: str | Path = BUNDLED,
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    sovqae: str | Path | None = None,
    ear: str | Path | None = None,
) -> LaDTalk:
    """Load a bundled checkpoint by name, or a file. `dtype` None: what suits the device.

    `sovqae` names another checkpoint to take the SOVQAE from: that of one person, say. `ear`: who hears in the
    acoustic model's place, as `pick_ear` has it.
    Raises CheckpointError for a file without a Wav2Lip, InputError for a device that is not there.
    """
    device, dtype = pick_place(device, dtype)
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    layers = pick_layers(device, dtype)
    ears = pick_ear(ear, layers, dtype, device)
    lips = build_wav2lip_model(checkpoint, layers, dtype, ears).to(device)
    if sovqae is None:
        texture = build_optional(checkpoint, TEXTURE, layers, dtype, device)
    else:
        texture = load_sovqae(sovqae, device, dtype)
    return LaDTalk(checkpoint.path, lips, texture, checkpoint.provenance)


def load_sovqae(
    name_or_path: str | Path = BUNDLED, device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> SOVQAE:
    """The SOVQAE of a checkpoint alone; arguments as in `load_ladtalk`. Raises CheckpointError for a file without."""
    device, dtype = pick_place(device, dtype)
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    return build(checkpoint, TEXTURE, pick_layers(device, dtype), dtype, device)


def build_wav2lip_model(
    checkpoint: Checkpoint,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    ears: Ears = no_ear,
) -> Wav2LipModel:
    """The speech side with its weights, on the CPU; `ears` says who hears in its acoustic model's place. Raises
    CheckpointError, also for a Wav2Lip whose acoustic model is missing or another's, and for another's ear."""
    net = build(checkpoint, WAV2LIP, operations, dtype)
    acoustic = _heard(checkpoint, net.config)
    given = 0 if acoustic is None else acoustic.config.width
    if net.config.acoustic != given:
        found = f"one of {given} values a frame" if given else "none"
        raise CheckpointError(
            f"{checkpoint.path}: its Wav2Lip hears an acoustic model of {net.config.acoustic} values a frame, found "
            f"{found}; put both of one training run into the file."
        )
    gate = build_optional(checkpoint, GATE)
    try:
        return Wav2LipModel(net, gate, acoustic, ears(acoustic)).eval()
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def hearing_of(checkpoint: Checkpoint, config: Wav2LipConfig) -> tuple[AcousticModel | None, Wav2LipConfig]:
    """The acoustic model that a checkpoint's Wav2Lip hears, if any, and `config` changed to hear as it does."""
    if WAV2LIP.name not in checkpoint.configs:
        return None, config
    theirs = checkpoint.config(WAV2LIP.name, Wav2LipConfig)
    heard = replace(config, acoustic=theirs.acoustic, also_mel=theirs.also_mel, closing=theirs.closing)
    return _heard(checkpoint, theirs), heard


def _heard(checkpoint: Checkpoint, config: Wav2LipConfig) -> AcousticModel | None:
    """The acoustic model that a Wav2Lip hears; None: the log-mel alone. Raises CheckpointError for a name that no
    bundled checkpoint bears."""
    try:
        return heard_model(checkpoint, config.acoustic_of) if config.acoustic else None
    except CheckpointError:
        raise
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
