"""A small acoustic model with random weights, for whatever hears by one."""

from __future__ import annotations

import torch

from talkface_core.acoustic.model import AcousticConfig, AcousticModel


def small_acoustic(**changes: int) -> AcousticModel:
    """16 values a frame, unless `changes` of its settings say otherwise."""
    torch.manual_seed(0)
    sizes = {"front_width": 8, "width": 16, "heads": 2, "ff": 16, "blocks": 1, "context": 3, "kernel": 5}
    return AcousticModel(AcousticConfig(**{**sizes, **changes})).eval()
