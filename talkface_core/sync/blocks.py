"""Convolution blocks of Wav2Lip's generator and its lip expert (Prajwal et al. 2020, sizes of its public code).

A `ConvBNReLU` is a convolution, a BatchNorm and a ReLU. A network that only infers needs no BatchNorm: `fold_batchnorm`
puts it into the convolution before it, which is exact, faster, and leaves the layers that a host can cast and offload.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import Operations
from ..errors import InputError

Size = int | tuple[int, int]


class ConvBNReLU(nn.Module):
    """Convolution, BatchNorm, ReLU; with `residual` the input is added before the ReLU. [B,C,H,W] -> [B,C',H',W'].

    `grow` makes it a transposed convolution: 1 turns 1x1 into 3x3, 2 doubles the size. `relu` False ends in the norm.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Size = 3,
        stride: Size = 1,
        padding: int = 1,
        *,
        residual: bool = False,
        grow: int = 0,
        relu: bool = True,
        norm: bool = True,
        operations: Operations = nn,
    ) -> None:
        super().__init__()
        if grow:
            padding, more = (0, 0) if grow == 1 else (1, 1)
            self.conv = operations.ConvTranspose2d(inputs, outputs, kernel, grow, padding, output_padding=more)
        else:
            self.conv = operations.Conv2d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.residual, self.relu, self.grow = residual, relu, bool(grow)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        if self.residual:
            out = out + x
        return F.relu(out, inplace=not self.training) if self.relu else out


def sequential(layers: Iterable[ConvBNReLU]) -> nn.Sequential:
    return nn.Sequential(*layers)


class SpeechEncoder(nn.Sequential):
    """A mel window [B,1,80,16] -> [B,channels[-1],1,1].

    channels: at the full size, after each of the three reductions, and of the vector; blocks: residual units of the
    first four. `relu` False lets the vector be negative.
    """

    STRIDES = ((1, 1), (3, 1), (3, 3), (3, 2))

    def __init__(
        self,
        channels: tuple[int, ...],
        blocks: tuple[int, ...],
        *,
        relu: bool = True,
        norm: bool = True,
        operations: Operations = nn,
    ) -> None:
        unit = partial(ConvBNReLU, norm=norm, operations=operations)
        layers, before = list[nn.Module](), 1
        for width, count, stride in zip(channels, blocks, self.STRIDES, strict=False):
            layers.append(unit(before, width, 3, stride, 1))
            layers += [unit(width, width, residual=True) for _ in range(count)]
            before = width
        layers.append(unit(before, channels[-1], 3, 1, 0))
        layers.append(unit(channels[-1], channels[-1], 1, 1, 0, relu=relu))
        super().__init__(*layers)


def check_speech(channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
    """Raises InputError unless a `SpeechEncoder` can be made of these."""
    stages = len(SpeechEncoder.STRIDES)
    if len(channels) != stages + 1 or len(blocks) != stages:
        raise InputError(f"speech of {len(channels)} widths and {len(blocks)} blocks; give {stages + 1} and {stages}.")


def fold_batchnorm(net: nn.Module) -> dict[str, Tensor]:
    """The state, in float32 and without BatchNorms, of the same network built with `norm=False`: as `net` evaluates.

    W' = W g / sqrt(v + eps) and b' = (b - m) g / sqrt(v + eps) + beta for each output channel.
    """
    state = {key: value.detach().clone() for key, value in net.state_dict().items() if ".norm." not in key}
    for name, unit in net.named_modules():
        if not isinstance(unit, ConvBNReLU) or isinstance(unit.norm, nn.Identity):
            continue
        norm, conv = unit.norm, unit.conv
        gain = (norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)).detach()
        # A transposed convolution's kernel has its outputs on the second axis.
        along = (1, -1, 1, 1) if unit.grow else (-1, 1, 1, 1)
        state[f"{name}.conv.weight"] = conv.weight.detach().float() * gain.reshape(along)
        state[f"{name}.conv.bias"] = ((conv.bias - norm.running_mean).float() * gain + norm.bias.float()).detach()
    return state
