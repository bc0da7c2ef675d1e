"""The instruments that are at hand on this machine: those that are bundled, and those whose weights somebody has.

Nothing is downloaded. What is missing is None, and its metrics are left out by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..checkpoints import find_checkpoint, read_checkpoint
from ..components import build
from ..errors import InputError
from ..kept import kept
from ..speech.vad import GATE, VoiceActivityGate
from ..sync.evaluator import evaluator_score, load_evaluator
from ..sync.score import SyncScore
from ..sync.syncnet import load_syncnet
from .evaluator_crops import evaluator_crops
from .footage import Footage
from .registry import Kit
from .weights import all_recognised, load_instrument

EXPERT, GATE_OF = "sync_tiny", "landmark_tiny"


def bundled_kit(device: torch.device | str = "cpu", expert: str | Path = EXPERT) -> Kit:
    """The instruments that come with the pack, the lip expert on a device."""
    return Kit(expert=load_syncnet(expert).to(device), gate=load_gate())


def load_gate(name_or_path: str | Path = GATE_OF) -> VoiceActivityGate:
    """The voice activity gate of a checkpoint, on the CPU. Raises CheckpointError."""
    return build(read_checkpoint(find_checkpoint(name_or_path)), GATE)


def with_files(
    kit: Kit,
    device: torch.device | str = "cpu",
    evaluator: str | Path | None = None,
    weights: Sequence[str | Path] = (),
) -> Kit:
    """The kit with what was found in files: the published evaluator, and the instruments that `weights` hold. Raises
    InputError for a file of something else and for two of one."""
    parts = dict(kept(load_instrument, path, str(device)) for path in all_recognised(weights))
    kit = replace(kit, **parts)
    if evaluator is None:
        return kit
    net = load_evaluator(evaluator).to(device)

    def published(clip: Footage) -> SyncScore:
        if clip.sound is None:
            raise InputError(f"{clip.name} has no sound, so its lips cannot be held against one")
        return evaluator_score(net, evaluator_crops(clip), clip.sound)

    return replace(kit, evaluator=published)
