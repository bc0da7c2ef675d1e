"""What FID compares (Heusel et al. 2017): the pooled features of the InceptionV3 of 2015-12-05 (Szegedy et al. 2016).

Its weights came with TensorFlow; the layout is that of pytorch-fid and torch-fidelity, which publish them for torch. It
is not torchvision's InceptionV3: means leave the border out, the last block takes a maximum, and there are 1008
classes. Pictures are enlarged as TensorFlow 1 did, which torch-fidelity does and pytorch-fid does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..foreign import refuse, renamed_state

FILE = "pt_inception-2015-12-05-6726825d.pth"
EXPECTED = f"the InceptionV3 of FID ({FILE})"
SIDE, FEATURES, CLASSES = 299, 2048, 1008

COUNTS = re.compile(r".*\.num_batches_tracked")
"""Keys of newer files that say how long a normalisation learned."""

_EPS = 1e-3
_AT_ONCE = 16

Kernel = int | tuple[int, int]
Layer = tuple[str, int, Kernel] | tuple[str, int, Kernel, int]
"""A convolution's name, channels, kernel, and stride where it is not 1."""
Step = Layer | tuple[Layer, Layer]
"""One convolution, or two of the same input, side by side."""


class FrozenNorm(nn.Module):
    """A batch normalisation that learns nothing more: channels are axis 1 of any tensor."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=_EPS)


class _Convolution(nn.Module):
    """Convolution, normalisation, ReLU. A stride of 1 keeps the size unless it is not `padded`."""

    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, sides, stride, padding, bias=False)
        self.bn = FrozenNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Mixed(nn.Module):
    """Chains of convolutions side by side, and a pooling: "mean" or "max", with a convolution after it, or "shrink"."""

    def __init__(self, inputs: int, chains: Sequence[Sequence[Step]], pool: str, pooled: int = 0) -> None:
        super().__init__()
        self.chains: list[list[tuple[str, ...]]] = []
        self.pool, self.outputs = pool, pooled or inputs
        for chain in chains:
            width, steps = inputs, []
            for step in chain:
                layers = (step,) if isinstance(step[0], str) else step
                for name, outputs, *rest in layers:
                    self.add_module(name, _Convolution(width, outputs, *rest))
                width = sum(layer[1] for layer in layers)
                steps.append(tuple(layer[0] for layer in layers))
            self.chains.append(steps)
            self.outputs += width
        if pooled:
            self.branch_pool = _Convolution(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for chain in self.chains:
            y = x
            for names in chain:
                y = torch.cat([self.get_submodule(name)(y) for name in names], 1)
            outputs.append(y)
        if self.pool == "shrink":
            return torch.cat([*outputs, F.max_pool2d(x, 3, 2)], 1)
        mean = self.pool == "mean"
        pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) if mean else F.max_pool2d(x, 3, 1, 1)
        return torch.cat([*outputs, self.branch_pool(pooled)], 1)


def _a(inputs: int, pooled: int) -> _Mixed:
    fives: list[Step] = [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)]
    threes: list[Step] = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)]
    return _Mixed(inputs, [[("branch1x1", 64, 1)], fives, threes], "mean", pooled)


def _b(inputs: int) -> _Mixed:
    threes: list[Step] = [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)]
    return _Mixed(inputs, [[("branch3x3", 384, 3, 2)], threes], "shrink")


def _c(inputs: int, wide: int) -> _Mixed:
    flat, tall = (1, 7), (7, 1)
    sevens: list[Step] = [("branch7x7_1", wide, 1), ("branch7x7_2", wide, flat), ("branch7x7_3", 192, tall)]
    twice: list[Step] = [("branch7x7dbl_1", wide, 1), ("branch7x7dbl_2", wide, tall), ("branch7x7dbl_3", wide, flat)]
    twice += [("branch7x7dbl_4", wide, tall), ("branch7x7dbl_5", 192, flat)]
    return _Mixed(inputs, [[("branch1x1", 192, 1)], sevens, twice], "mean", 192)


def _d(inputs: int) -> _Mixed:
    threes: list[Step] = [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)]
    sevens: list[Step] = [("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1))]
    return _Mixed(inputs, [threes, [*sevens, ("branch7x7x3_4", 192, 3, 2)]], "shrink")


def _e(inputs: int, pool: str) -> _Mixed:
    def cross(name: str) -> Step:
        return (f"{name}a", 384, (1, 3)), (f"{name}b", 384, (3, 1))

    threes: list[Step] = [("branch3x3_1", 384, 1), cross("branch3x3_2")]
    twice: list[Step] = [("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3), cross("branch3x3dbl_3")]
    return _Mixed(inputs, [[("branch1x1", 320, 1)], threes, twice], pool, 192)


class InceptionV3(nn.Module):
    """Pictures [B,3,H,W], RGB, 0..255 -> features [B,2048]."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = _Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3, padded=False)
        self.mixed, width = [], 192
        blocks: dict[str, Callable[[int], _Mixed]] = {
            "5b": lambda width: _a(width, 32),
            **dict.fromkeys(("5c", "5d"), lambda width: _a(width, 64)),
            "6a": _b,
            "6b": lambda width: _c(width, 128),
            **dict.fromkeys(("6c", "6d"), lambda width: _c(width, 160)),
            "6e": lambda width: _c(width, 192),
            "7a": _d,
            "7b": lambda width: _e(width, "mean"),
            "7c": lambda width: _e(width, "max"),
        }
        for name, make in blocks.items():
            block = make(width)
            self.add_module(f"Mixed_{name}", block)
            self.mixed.append(f"Mixed_{name}")
            width = block.outputs
        self.requires_grad_(False).eval()

    def forward(self, pictures: Tensor) -> Tensor:
        x = (enlarged(pictures, SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


def enlarged(pictures: Tensor, side: int) -> Tensor:
    """Pictures [B,3,H,W] at side x side px, bilinear between corners as TensorFlow 1 placed them: pixel k of the result
    is at k H / side of the picture, not at the middles."""
    x = pictures
    for axis in (2, 3):
        count = x.shape[axis]
        at = torch.arange(side, device=x.device, dtype=x.dtype) * (count / side)
        low = at.long().clamp(max=count - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = side
        first, second = (x.index_select(axis, k) for k in (low, (low + 1).clamp(max=count - 1)))
        x = first + (second - first) * (at - low).view(shape)
    return x


def is_inception(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a state is an InceptionV3's, of whatever classes."""
    return {"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"} <= shapes.keys()


def load_inception(
    path: Path, state: Mapping[str, Tensor], device: torch.device | str = "cpu"
) -> Callable[[NDArray[np.uint8]], Tensor]:
    """The features [T,2048] of crops [T,S,S,3], RGB, by a published state that was read. Raises InputError."""
    head = state.get("fc.weight")
    if head is None or tuple(head.shape) != (CLASSES, FEATURES):
        told = "none" if head is None else f"{len(head)}"
        refuse(path, f"an InceptionV3 of {told} classes", f"{EXPECTED}, which has {CLASSES}: FID of others is no FID")
    with torch.device("meta"):
        net = InceptionV3()
    rest = {key: value for key, value in state.items() if not key.startswith("fc.")}
    net.load_state_dict(renamed_state(path, rest, net.state_dict(), str, EXPECTED, COUNTS), assign=True)
    net.to(device)

    @torch.no_grad()
    def features(crops: NDArray[np.uint8]) -> Tensor:
        parts = [torch.from_numpy(np.array(crops[k : k + _AT_ONCE])) for k in range(0, len(crops), _AT_ONCE)]
        return torch.cat([net(rearrange(part, "t h w c -> t c h w").to(device).float()).cpu() for part in parts])

    return features
