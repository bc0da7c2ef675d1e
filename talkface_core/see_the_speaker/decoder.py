"""The high-resolution decoder: warped features painted as a picture.

Source: LivePortrait's generator (Guo et al. 2024, section 3.1), SPADE (Park et al. 2019): residual blocks whose
instance norms are modulated by the features themselves, then pixel shuffle. Ours, where the settings ask for it: the
flow also carries the source's own pixels and its finer maps; what is carried stays sharp, and the decoder paints over
it what the source does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from .grown_convolution import GrownConvolution

SLOPE = 0.2
FARTHEST = 0.04
"""How far the decoder may move a carried pixel beyond the flow, -1..1 being the crop."""
_PAINT_FIRST = 1.0  # how likely paint is at first against what is carried


@dataclass(frozen=True)
class DecoderConfig(Config):
    """blocks: at the features' size, of twice their channels; up: channels after each doubling; hidden: of what
    modulates; coarse: modulation is computed at the features' size and enlarged; shuffle: how many times finer than the
    last maps the picture is; carry: the source's pixels and maps of `skip` channels are carried along; join: channels
    in which they meet what is painted; apertures: maps of how far mouth and eyes stand open, which it is shown."""

    blocks: int = 6
    up: tuple[int, ...] = (256, 64)
    hidden: int = 128
    coarse: bool = False
    shuffle: int = 2
    carry: bool = False
    skip: int = 0
    join: int = 16
    apertures: int = 0

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "up", "hidden", "join")
        self.check_range(0, 32, "blocks")
        self.check_range(1, 4, "shuffle")
        if not self.up:
            raise InputError("a decoder doubles its maps once at least; up is empty")


@dataclass(frozen=True)
class Carried:
    """What is carried into driven pictures besides the volume: pictures [B or 1,3,S',S'] in 0..1 and maps [B or
    1,C,S/2,S/2] of the source, and the flow [B,h,w,2] (see `Warped.plane`). apertures: maps [B,A,S/2,S/2] of the
    source and of the driven face, or None."""

    pictures: Tensor
    maps: Tensor
    plane: Tensor
    apertures: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Painted:
    """pictures [B,3,S',S'] in 0..1, made of what was `carried` and, as far as `paint` [B,1,S',S'] says, of `colours`
    that were painted; the latter three are None where nothing is carried."""

    pictures: Tensor
    carried: Tensor | None = None
    paint: Tensor | None = None
    colours: Tensor | None = None


class Decoder(nn.Module):
    """Features [B,F,h,w] -> `Painted`."""

    def __init__(self, config: DecoderConfig, features: int, norm: bool = True, operations: Operations = nn) -> None:
        """`norm=False`: as it infers, see `GrownConvolution`."""
        super().__init__()
        self.config, ops = config, operations
        width = 2 * features

        def block(inputs: int, outputs: int, growth: int) -> SpadeBlock:
            grown = 1 if config.coarse or norm else growth
            return SpadeBlock(inputs, outputs, partial(Spade, features, config.hidden, config.coarse, grown, ops), ops)

        self.first = ops.Conv2d(features, width, 3, padding=1)
        self.middle = nn.ModuleList(block(width, width, 1) for _ in range(config.blocks))
        widths, fine = (width, *config.up), config.shuffle**2
        self.up = nn.ModuleList(block(narrow, wide, 2 ** (n + 1)) for n, (narrow, wide) in enumerate(pairwise(widths)))
        # The source's maps, and its pixels as far as the picture is finer.
        carried = config.skip + 3 * fine + 2 * config.apertures
        self.join = ops.Conv2d(widths[-1] + carried, config.join, 3, padding=1) if config.carry else None
        self.out = ops.Conv2d(
            config.join if config.carry else widths[-1], (4 * fine + 2) if config.carry else 3 * fine, 3, padding=1
        )

    def forward(self, features: Tensor, source: Carried | None = None) -> Painted:
        """`source`: where the settings say that something is carried."""
        config = self.config
        x = self.first(features)
        for block in self.middle:
            x = block(x, features)
        for block in self.up:
            x = block(F.interpolate(x, scale_factor=2.0), features)
        x = F.leaky_relu(x, SLOPE)
        if self.join is None or source is None:
            return Painted(F.pixel_shuffle(self.out(x), config.shuffle).sigmoid())
        x = F.leaky_relu(self.join(torch.cat([x, self._finer(source, x)], 1)), SLOPE)
        return self._joined(self.out(x), source)

    def _finer(self, source: Carried, x: Tensor) -> Tensor:
        """The source's maps and pixels, moved, at the size of x."""
        side = x.shape[-1]
        pictures = resized(source.pictures, side * self.config.shuffle)
        finer = torch.cat([source.maps, F.pixel_unshuffle(pictures, self.config.shuffle)], 1)
        if source.apertures is None:
            return carry(finer, resized_flow(source.plane, side)).to(x)
        was, now = source.apertures
        finer = torch.cat([finer.expand(len(was), *finer.shape[1:]), was.to(finer)], 1)
        return torch.cat([carry(finer, resized_flow(source.plane, side)), now.float()], 1).to(x)

    def _joined(self, x: Tensor, source: Carried) -> Painted:
        """Paint and carried pixels as one picture."""
        fine, side = self.config.shuffle**2, source.pictures.shape[-1]
        painted, further = x.float().split([4 * fine, 2], 1)
        further = FARTHEST * rearrange(further.tanh(), "b c h w -> b h w c")
        flow = resized_flow(resized_flow(source.plane, x.shape[-1]) + further, side)
        # Linear sampling would blur what is carried for its texture.
        carried = carry(source.pictures, flow, "bicubic")
        painted = resized(F.pixel_shuffle(painted, self.config.shuffle), side)
        paint = (painted[:, 3:] + _PAINT_FIRST).sigmoid()
        colours = carried + painted[:, :3]
        return Painted(carried + paint * (colours - carried), carried, paint, colours)


class Spade(nn.Module):
    """Instance norm of maps [B,C,H,W] with gains and biases that features [B,F,h,w] give for every place.

    growth: how many times as large the maps are, where the features' first convolution is a `GrownConvolution`, else 1.
    """

    def __init__(
        self, features: int, hidden: int, coarse: bool, growth: int, operations: Operations, channels: int
    ) -> None:
        super().__init__()
        if growth > 1:
            self.shared: Any = GrownConvolution(features, hidden, growth, None, operations)
        else:
            self.shared = operations.Conv2d(features, hidden, 3, padding=1)
        self.gamma = operations.Conv2d(hidden, channels, 3, padding=1)
        self.beta = operations.Conv2d(hidden, channels, 3, padding=1)
        self.coarse = coarse or growth > 1

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        size = x.shape[2:]
        if not self.coarse and features.shape[2:] != size:
            features = F.interpolate(features, size)
        shared = F.relu(self.shared(features))
        gamma, beta = self.gamma(shared), self.beta(shared)
        if gamma.shape[2:] != size:
            gamma, beta = F.interpolate(gamma, size), F.interpolate(beta, size)
        return torch.addcmul(beta, F.instance_norm(x), 1 + gamma)


class SpadeBlock(nn.Module):
    """Residual block of two modulated convolutions; another width goes through a modulated 1 x 1."""

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], Spade], operations: Operations = nn) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.norm_0 = norm(inputs)
        self.conv_0 = operations.Conv2d(inputs, middle, 3, padding=1)
        self.norm_1 = norm(middle)
        self.conv_1 = operations.Conv2d(middle, outputs, 3, padding=1)
        self.norm_s, self.conv_s = None, None
        if inputs != outputs:
            self.norm_s = norm(inputs)
            self.conv_s = operations.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        h = self.conv_0(F.leaky_relu(self.norm_0(x, features), SLOPE))
        h = self.conv_1(F.leaky_relu(self.norm_1(h, features), SLOPE))
        return h + (x if self.conv_s is None or self.norm_s is None else self.conv_s(self.norm_s(x, features)))


def carry(maps: Tensor, flow: Tensor, between: str = "bilinear") -> Tensor:
    """Maps [B or 1,C,H,W] looked up as far away as a flow [B,h,w,2] says (-1..1 being their sides): [B,C,h,w]. Edges
    repeat; `between`: how values between pixels are found. In float32, which half a grid's numbers would not
    resolve."""
    count, side = len(flow), flow.shape[1]
    centres = (torch.arange(side, device=flow.device, dtype=torch.float32) + 0.5) * (2 / side) - 1
    places = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1) + flow.float()
    maps = maps.float().expand(count, *maps.shape[1:])
    return F.grid_sample(maps, places, between, "border", align_corners=False)


def resized_flow(flow: Tensor, side: int) -> Tensor:
    """The same flow [B,h,w,2] on another number of pixels: [B,side,side,2]."""
    if flow.shape[1] == side:
        return flow
    return rearrange(resized(rearrange(flow, "b h w c -> b c h w"), side), "b c h w -> b h w c")


def resized(maps: Tensor, side: int) -> Tensor:
    """Maps [B,C,H,W] at another side, linear between their pixels; shrinking averages."""
    if maps.shape[-1] == side:
        return maps
    shrink = side < maps.shape[-1]
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False, antialias=shrink)
