"""LaDTalk's networks as a checkpoint holds them: how they are loaded and joined.

Source: LaDTalk (Yang et al. 2024): Wav2Lip says the words, the SOVQAE restores the texture. The silence gate is ours.
A host that manages memory itself builds the parts one by one with its own layers; `load_ladtalk` is all that a program
without one needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checkpoints import Checkpoint, find_checkpoint, read_checkpoint
from ..device import pick_device, pick_dtype, pick_layers
from ..speech.features import mel_filters
from ..speech.vad import GateConfig, SilenceGate
from .sovqae import COMPONENT as SOVQAE_COMPONENT
from .sovqae import SOVQAE, load_sovqae
from .wav2lip import SYSTEM, Wav2Lip, load_wav2lip

BUNDLED = "ladtalk_tiny"
GATE_COMPONENT = "gate"

__all__ = ["BUNDLED", "GATE_COMPONENT", "SYSTEM", "LaDTalk", "Lips", "build_gate", "build_lips", "load_ladtalk"]


class Lips(nn.Module):
    """The speech side: Wav2Lip, and the silence gate it hears through (None where a checkpoint has none)."""

    def __init__(self, wav2lip: Wav2Lip, gate: SilenceGate | None) -> None:
        super().__init__()
        self.wav2lip, self.gate = wav2lip, gate


@dataclass(frozen=True)
class LaDTalk:
    """The system's networks, ready to run. `sovqae` is None where a checkpoint has none: mouths then stay as soft as
    Wav2Lip's are. `provenance` says what they were trained on."""

    path: Path
    lips: Lips
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
) -> LaDTalk:
    """Load a bundled checkpoint by name, or a file. `dtype` None: what suits the device.

    `sovqae` names another checkpoint to take the SOVQAE from: that of one person, say.
    Raises CheckpointError for a file without a Wav2Lip, InputError for a device that is not there.
    """
    device = pick_device(device) if isinstance(device, str) else device
    dtype = pick_dtype(device) if dtype is None else dtype
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    layers = pick_layers(device, dtype)
    lips = build_lips(checkpoint, layers)
    lips.wav2lip.to(dtype, memory_format=torch.channels_last)
    texture = None
    if sovqae is not None or SOVQAE_COMPONENT in checkpoint.configs:
        source = checkpoint if sovqae is None else read_checkpoint(find_checkpoint(sovqae), SYSTEM)
        texture = load_sovqae(source, layers).to(device, memory_format=torch.channels_last).to(dtype)
    mel_filters()  # behind them is a slow import, which belongs to the loading
    return LaDTalk(checkpoint.path, lips.to(device), texture, checkpoint.provenance)


def build_lips(checkpoint: Checkpoint, operations: Any = nn) -> Lips:
    """The speech side with its weights, in float32 on the CPU. Raises CheckpointError."""
    return Lips(load_wav2lip(checkpoint, operations), build_gate(checkpoint)).eval()


def build_gate(checkpoint: Checkpoint) -> SilenceGate | None:
    """The silence gate of a checkpoint, None where it has none. Raises CheckpointError."""
    if GATE_COMPONENT not in checkpoint.configs:
        return None
    config = checkpoint.config(GATE_COMPONENT, GateConfig)
    return checkpoint.load_into(SilenceGate(config), GATE_COMPONENT).eval().requires_grad_(False)
