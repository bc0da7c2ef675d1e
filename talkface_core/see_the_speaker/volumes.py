"""Blocks that the renderer's networks share: convolutions with a batch norm, in the plane and in the feature volume.

Source: face-vid2vid (Wang et al. 2021, appendix A), whose blocks LivePortrait keeps. With `norm=False` a block has no
batch norm: that is what is built to infer, once the norms of a trained network are folded into its convolutions
(`folded_state`).
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import Operations
from .grown_convolution import GrownConvolution, grown_state


class ConvNorm(nn.Module):
    """Convolution, batch norm, (leaky) ReLU; then, if asked to, half the height and width.

    `depth`: of the kernel of a convolution in a volume; None: in the plane. `leak`: slope below zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        depth: int | None = None,
        halve: bool = False,
        leak: float = 0.0,
        norm: bool = True,
        operations: Operations = nn,
    ) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs, 3, depth, operations)
        kind = nn.BatchNorm2d if depth is None else nn.BatchNorm3d
        self.norm = kind(outputs) if norm else nn.Identity()
        self.halve, self.leak = halve, leak

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        x = F.leaky_relu(x, self.leak) if self.leak else F.relu(x)
        if not self.halve:
            return x
        # A volume's layers as channels: torch averages no volumes in halves on a CPU.
        return F.avg_pool2d(x.flatten(1, -3), 2).unflatten(1, x.shape[1:-2])


class GrowConvNorm(ConvNorm):
    """The same in a volume of twice the height and width."""

    def __init__(self, inputs: int, outputs: int, depth: int, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__(inputs, outputs, depth, norm=norm, operations=operations)
        if not norm:
            self.conv = GrownConvolution(inputs, outputs, 2, depth, operations)

    def forward(self, x: Tensor) -> Tensor:
        """x [B,C,D,H,W] -> [B,C',D,2H,2W]."""
        return super().forward(
            x if isinstance(self.conv, GrownConvolution) else F.interpolate(x, scale_factor=(1, 2, 2))
        )


class VolumeBlock(nn.Module):
    """Residual block in a volume [B,C,D,H,W]: norm, ReLU, convolution, twice."""

    def __init__(self, channels: int, depth: int = 3, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm3d(channels) if norm else ChannelAffine(channels)
        self.conv1 = convolution(channels, channels, 3, depth, operations)
        self.norm2 = nn.BatchNorm3d(channels) if norm else nn.Identity()
        self.conv2 = convolution(channels, channels, 3, depth, operations)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class ChannelAffine(nn.Module):
    """A gain and a bias for each channel of a volume: what is left of a batch norm that has no convolution before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, 1, 1, 1)
        return torch.addcmul(self.bias.to(x).view(shape), x, self.weight.to(x).view(shape))


def convolution(inputs: int, outputs: int, side: int, depth: int | None, operations: Operations) -> Any:
    """A convolution that keeps the size, in the plane or, of kernels `depth` deep, in a volume."""
    if depth is None:
        return operations.Conv2d(inputs, outputs, side, padding=side // 2)
    return operations.Conv3d(inputs, outputs, (depth, side, side), padding=(depth // 2, side // 2, side // 2))


def folded_state(net: nn.Module, copy: nn.Module) -> dict[str, Tensor]:
    """The state, in float32, of `copy`, the same network built with `norm=False`: as `net` evaluates.

    A norm behind a convolution goes into it: W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta; one
    before a convolution, with a ReLU between, stays as gain and bias. See also `GrownConvolution`.
    """
    state = {key: value.detach().float().clone() for key, value in net.state_dict().items()}

    def gain(norm: str, eps: float) -> tuple[Tensor, Tensor]:
        weight, bias, mean, var = (state.pop(f"{norm}.{key}") for key in _NORM)
        state.pop(f"{norm}.num_batches_tracked")
        weight = weight * torch.rsqrt(var + eps)
        return weight, bias - mean * weight

    for name, part in net.named_modules():
        inside = f"{name}." if name else ""
        if isinstance(part, VolumeBlock):
            weight, bias = gain(f"{inside}norm1", cast(float, part.norm1.eps))
            state[f"{inside}norm1.weight"], state[f"{inside}norm1.bias"] = weight, bias
        for conv, norm in (("conv", "norm"), ("conv1", "norm2"), ("compress", "norm")):
            if isinstance(getattr(part, norm, None), nn.BatchNorm2d | nn.BatchNorm3d) and hasattr(part, conv):
                weight, bias = gain(f"{inside}{norm}", getattr(part, norm).eps)
                kernel = state[f"{inside}{conv}.weight"]
                state[f"{inside}{conv}.weight"] = kernel * weight.view(-1, *[1] * (kernel.ndim - 1))
                state[f"{inside}{conv}.bias"] = state[f"{inside}{conv}.bias"] * weight + bias
    for name, part in copy.named_modules():
        if isinstance(part, GrownConvolution):
            grown = grown_state(part, state.pop(f"{name}.weight"), state.pop(f"{name}.bias"))
            state |= {f"{name}.{key}": value for key, value in grown.items()}
    return state


_NORM = ("weight", "bias", "running_mean", "running_var")


def grid(depth: int, height: int, width: int, centred: bool, like: Tensor) -> Tensor:
    """The places of a volume's cells [depth,height,width,3] (x, y, z) in -1..1.

    `centred`: of their centres, where -1 and 1 are the volume's faces; else -1 and 1 are the first and the last centre,
    as the public networks count, though they look up as if they were the faces.
    """

    def axis(count: int) -> Tensor:
        if centred:
            return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) * (2 / count) - 1
        return torch.arange(count, device=like.device, dtype=like.dtype) * (2 / (count - 1)) - 1

    z, y, x = torch.meshgrid(axis(depth), axis(height), axis(width), indexing="ij")
    return torch.stack([x, y, z], -1)
