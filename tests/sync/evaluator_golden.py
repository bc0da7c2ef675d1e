"""Weights and inputs for the published evaluator that any program can make, to hold ours against its public code."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def published_state(shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """Weights of given shapes under the public names: sines, scaled as convolutions like it."""
    state = {}
    for number, (key, shape) in enumerate(sorted(shapes.items())):
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.long)
            continue
        wave = torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) * 1.7 + number).reshape(shape).float()
        if key.endswith("running_var"):
            wave = 1 + 0.5 * wave
        elif len(shape) > 1:
            wave = wave * math.sqrt(4 / math.prod(shape[1:]))
        else:
            wave = 0.1 * wave + (1.0 if key.endswith("weight") else 0.0)
        state[key] = wave
    return state


def pictures() -> Tensor:
    """[2,3,5,224,224], 0..255."""
    values = torch.sin(torch.arange(2 * 3 * 5 * 224 * 224, dtype=torch.float64) * 0.013)
    return (127.5 + 127.5 * values).reshape(2, 3, 5, 224, 224).float()


def coefficients() -> Tensor:
    """[2,1,13,20]"""
    return (8 * torch.sin(torch.arange(2 * 13 * 20, dtype=torch.float64) * 0.9)).reshape(2, 1, 13, 20).float()
