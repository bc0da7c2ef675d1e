"""A small Whisper and a small ear for it, for whatever hears by one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from talkface_core.acoustic.encoded_ear import EAR, EarConfig, EncodedEar, feature_space
from talkface_core.acoustic.model import AcousticModel
from talkface_core.checkpoints import save_checkpoint
from talkface_core.speech.whisper import SYSTEM, WHISPER, WhisperConfig, WhisperEncoder


def small_whisper(width: int = 16) -> WhisperEncoder:
    torch.manual_seed(3)
    net = WhisperEncoder(WhisperConfig(width, 2, 1))
    nn.init.normal_(net.first.weight, std=1.0)
    return net.eval().requires_grad_(False)


def small_ear(acoustic: AcousticModel, **changes) -> EncodedEar:
    """One of another seed than the acoustic model, of its features."""
    torch.manual_seed(4)
    sizes = {"dim": 16, "width": 8, "heads": 2, "ff": 8, "blocks": 1, "kernel": 3, "context": 2}
    known = {"features": acoustic.config.width, "spaces": (feature_space(acoustic),)}
    ear = EncodedEar(EarConfig(**{**sizes, **known, **changes})).eval().requires_grad_(False)
    ear.feature_mean.copy_(torch.randn(len(ear.feature_mean)))
    return ear


def save_small_whisper(path: Path, acoustic: AcousticModel | None = None, width: int = 16, **changes) -> Path:
    """A converted Whisper; with an ear of its own for the features of `acoustic`, where that is given."""
    parts = {WHISPER.name: small_whisper(width)}
    if acoustic is not None:
        parts[EAR.name] = small_ear(acoustic, **changes)
    save_checkpoint(path, SYSTEM, parts, {name: part.config.to_dict() for name, part in parts.items()}, {})
    return path
