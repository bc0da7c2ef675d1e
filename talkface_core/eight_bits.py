"""Weights stored in 8 bits: whole numbers in -127..127 with one scale for each output channel, half a float16 file.

`weight = number x scale`, the scale being the channel's largest absolute weight by 127 (symmetric, per-channel
quantisation of weights alone: Krishnamoorthi 2018, arXiv 1806.08342, section 3.1.2). In the file a tensor `name` of
type I8 has its float32 scales [channels] beside it as `name:scale`. Networks never see it: what reads a checkpoint
makes float16 of it, so memory and speed are those of a float16 file. Packing what was unpacked changes no number,
so that joining files loses nothing.
"""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

SCALE = ":scale"
"""What the name of a tensor's scales ends in."""

_LEAST = 2048  # numbers in a tensor, below which nothing is won
_STEPS = 127


def packs(name: str, tensor: Tensor, prefixes: Iterable[str]) -> bool:
    """Whether a tensor is stored in 8 bits: a matrix or a kernel of some size under one of the prefixes."""
    return (
        tensor.is_floating_point()
        and tensor.ndim >= 2
        and tensor.numel() >= _LEAST
        and any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
    )


def packed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """What is stored of a floating point tensor [channels, ...]: its numbers and their scales."""
    rows = tensor.detach().to("cpu", torch.float32).flatten(1)
    scale = rows.abs().amax(1) / _STEPS
    numbers = torch.where(scale[:, None] > 0, rows / scale[:, None], 0).round()
    return {name: numbers.to(torch.int8).view(tensor.shape), name + SCALE: scale}


def unpacked(numbers: Tensor, scale: Tensor) -> Tensor:
    """The float16 weights of numbers int8 [channels, ...] and their scales [channels]."""
    return (numbers.flatten(1).float() * scale[:, None]).view(numbers.shape).half()


def scales_in(shapes: Mapping[str, tuple[int, ...]], type_of: Callable[[str], str]) -> frozenset[str]:
    """The names of all scales among a file's tensors; `type_of` names a tensor's type as the format does ("I8").

    Raises ValueError for scales that belong to no matrix or kernel of 8 bits, or are no float32.
    """
    scales = frozenset(name for name in shapes if name.endswith(SCALE))
    for scale in scales:
        name = scale.removesuffix(SCALE)
        stored = shapes.get(name)
        if stored is None:
            raise ValueError(f"scales {scale!r} of no weights")
        if shapes[scale] != stored[:1] or len(stored) < 2:
            raise ValueError(f"scales {scale!r} of shape {list(shapes[scale])} for {list(stored)}")
        if (types := (type_of(scale), type_of(name))) != ("F32", "I8"):
            raise ValueError(f"scales {scale!r} of the type {types[0]} for weights of the type {types[1]}")
    return scales
