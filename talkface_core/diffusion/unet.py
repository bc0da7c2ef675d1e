"""The U-Net of the pixel and latent diffusion systems, and its first half as an image encoder.

Source: Dhariwal & Nichol 2021, with the layout of diffusion autoencoders (Preechakul et al. 2022, appendix): residual
up/down sampling, self-attention at chosen resolutions and in the middle, skips by concatenation at every block.
For a CPU, ``patch`` > 1 folds pixels into channels first (pixel-unshuffle), which puts the compute where matrix units
are busy and activations small; ``learned_position`` adds one learned map at that resolution, since a latent vector
alone does not say where in the picture a feature belongs.
Conditions come as a vector (``cond``), as tokens that every attention looks at (``context``; Rombach et al. 2022), and
as a map of the picture's size that is concatenated to it (``spatial``; Saharia et al. 2022, "Palette"). What is looked
at behind every self-attention may be a system's own module instead (``cross``), which is handed ``context`` as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from .blocks import (
    CrossAttention2d,
    ResBlock,
    SelfAttention2d,
    group_norm,
    timestep_embedding,
    zero_init,
)

LARGEST_SIDE = 4096  # pixels

Cross = Callable[[int, int], nn.Module]
"""Makes what stands behind a self-attention, of its channels and its level (0 is the finest): a module that is called
(h [B,C,H,W], context, context_mask) and gives [B,C,H,W]."""


@dataclass(frozen=True)
class UNetConfig(Config):
    """Sizes of a U-Net. ``channels`` and ``attention`` (True/False) have one entry a level, finest first.

    cond_dim: length of the vector that scales every block; context_dim: width of the tokens that are attended to,
    beside every self-attention; spatial_channels: channels of the map that is concatenated to x_t. None and 0: without.
    """

    image_size: int
    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    blocks_down: int = 2
    blocks_up: int = 3
    time_dim: int = 512
    time_frequencies: int = 128
    cond_dim: int | None = None
    dropout: float = 0.0
    heads: int = 1
    patch: int = 1
    learned_position: bool = False
    context_dim: int | None = None
    spatial_channels: int = 0

    def __post_init__(self) -> None:
        _check_levels(self)
        self.check_range(1, LARGEST, "out_channels", "time_dim", "blocks_up")
        self.check_range(2, LARGEST, "time_frequencies")
        self.check_range(0, 1, "dropout")


def _check_levels(config: UNetConfig | EncoderConfig) -> None:
    """Raises InputError unless widths, heads and the sides of the pictures fit together."""
    config.check_range(1, LARGEST, "in_channels", "channels", "heads", "patch")
    config.check_range(1, LARGEST_SIDE, "image_size")
    if not config.channels or len(config.attention) != len(config.channels):
        raise InputError(f"{len(config.attention)} flags of attention for {len(config.channels)} levels; give one each")
    if config.image_size % (config.patch * 2 ** (len(config.channels) - 1)):
        raise InputError(f"{config.image_size} px cannot be halved on {len(config.channels)} levels of these patches")
    attending = [width for width, attends in zip(config.channels, config.attention, strict=True) if attends]
    if odd := [width for width in (*attending, config.channels[-1]) if width % config.heads]:
        raise InputError(f"{odd[0]} channels do not share out to {config.heads} heads")


class UNet(nn.Module):
    """x_t [B, C_in, H, W], t [B] integer steps and the conditions of the config -> [B, C_out, H, W]."""

    def __init__(self, config: UNetConfig, operations: Operations = nn, cross: Cross | None = None) -> None:
        super().__init__()
        self.config, ops = config, operations
        self._own_context = cross is not None

        def own(channels: int, level: int) -> nn.Module | None:
            return cross(channels, level) if cross else _cross(channels, config.heads, config.context_dim, ops)

        residual = partial(
            ResBlock, time_dim=config.time_dim, cond_dim=config.cond_dim, dropout=config.dropout, operations=ops
        )

        def block(before: int, after: int, level: int) -> nn.Module:
            layers = residual(before, after)
            if not config.attention[level]:
                return layers
            return _WithAttention(layers, SelfAttention2d(after, config.heads, ops), own(after, level))

        self.time_embed = nn.Sequential(
            ops.Linear(config.time_frequencies, config.time_dim),
            nn.SiLU(),
            ops.Linear(config.time_dim, config.time_dim),
        )
        first, last = config.channels[0], config.channels[-1]
        channels_in = config.in_channels + config.spatial_channels
        self.stem = Stem(channels_in, first, config.image_size, config.patch, config.learned_position, ops)

        skips, width = [[first]], first
        self.down = nn.ModuleList()
        for level, channels in enumerate(config.channels):
            stage = nn.ModuleList()
            if level > 0:
                stage.append(residual(width, width, resample="down"))
                skips.append([width])
            for _ in range(config.blocks_down):
                stage.append(block(width, channels, level))
                skips[level].append(width := channels)
            self.down.append(stage)

        self.middle = nn.ModuleList(
            [residual(last, last), SelfAttention2d(last, config.heads, ops), residual(last, last)]
        )
        self.middle_cross = own(last, len(config.channels) - 1)

        self.up = nn.ModuleList()
        for level in reversed(range(len(config.channels))):
            stage, channels = nn.ModuleList(), config.channels[level]
            for _ in range(config.blocks_up):
                # A level may have more blocks on the way up than skips: the surplus blocks go without.
                skip = skips[level].pop() if skips[level] else 0
                stage.append(block(width + skip, channels, level))
                width = channels
            if level > 0:
                stage.append(residual(width, width, resample="up"))
            self.up.append(stage)

        self.norm_out = group_norm(first, ops)
        self.conv_out = zero_init(ops.Conv2d(first, config.out_channels * config.patch**2, 3, padding=1))

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        cond: Tensor | None = None,
        context: Any = None,
        context_mask: Tensor | None = None,
        spatial: Tensor | None = None,
    ) -> Tensor:
        """cond [B, cond_dim]; context [B, N, context_dim], or what the net's own modules take; context_mask bool
        [B, N], False where there is no token; spatial [B, spatial_channels, H, W]. Without cond or context the blocks
        go without.

        Raises InputError for a context or a map that the config does not have, and for a map that is missing.
        """
        self._check(context, spatial)
        conditions = (self.time_embed(timestep_embedding(t, self.config.time_frequencies).to(x.dtype)), cond)
        tokens = (context, context_mask)
        h = self.stem(x if spatial is None else torch.cat([x, spatial], dim=1))
        skips = [[h]]
        for level, stage in enumerate(self.down):
            if level > 0:
                skips.append([])
            for block in stage:
                h = block(h, *conditions, *tokens)
                skips[level].append(h)
        before, attention, after = self.middle
        h = attention(before(h, *conditions))
        h = h if self.middle_cross is None else self.middle_cross(h, *tokens)
        h = after(h, *conditions)
        for level, stage in zip(reversed(range(len(self.down))), self.up, strict=True):
            for index, block in enumerate(stage):
                if index < self.config.blocks_up and skips[level]:
                    h = torch.cat([h, skips[level].pop()], dim=1)
                h = block(h, *conditions, *tokens)
        out = self.conv_out(F.silu(self.norm_out(h)))
        return F.pixel_shuffle(out, self.config.patch) if self.config.patch > 1 else out

    def _check(self, context: Any, spatial: Tensor | None) -> None:
        width, channels = self.config.context_dim, self.config.spatial_channels
        if context is not None and not self._own_context and context.shape[-1] != width:
            raise InputError(f"context tokens of width {context.shape[-1]} for a U-Net with context_dim {width}")
        channels_given = 0 if spatial is None else spatial.shape[1]
        if channels_given != channels:
            raise InputError(
                f"a spatial condition of {channels_given} channels for a U-Net with spatial_channels {channels}"
            )


@dataclass(frozen=True)
class EncoderConfig(Config):
    """Sizes of an image encoder (the first half of a U-Net, no time). ``attention`` has one entry a level."""

    image_size: int
    in_channels: int
    out_dim: int
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    blocks: int = 2
    heads: int = 1
    patch: int = 1
    learned_position: bool = False

    def __post_init__(self) -> None:
        _check_levels(self)
        self.check_range(1, LARGEST, "out_dim")


class ImageEncoder(nn.Module):
    """Pictures [B, C, H, W] -> vectors [B, out_dim]; unregularised (Preechakul et al. 2022, semantic encoder)."""

    def __init__(self, config: EncoderConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.config, ops = config, operations
        width = config.channels[0]
        self.stem = Stem(config.in_channels, width, config.image_size, config.patch, config.learned_position, ops)
        self.down = nn.ModuleList()
        for level, channels in enumerate(config.channels):
            if level > 0:
                self.down.append(ResBlock(width, width, resample="down", operations=ops))
            for _ in range(config.blocks):
                block = ResBlock(width, channels, operations=ops)
                if config.attention[level]:
                    self.down.append(_WithAttention(block, SelfAttention2d(channels, config.heads, ops), None))
                else:
                    self.down.append(block)
                width = channels
        self.middle = nn.ModuleList(
            [
                ResBlock(width, width, operations=ops),
                SelfAttention2d(width, config.heads, ops),
                ResBlock(width, width, operations=ops),
            ]
        )
        self.norm_out = group_norm(width, ops)
        self.proj = ops.Conv2d(width, config.out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for block in [*self.down, *self.middle]:
            h = block(h)
        pooled = F.silu(self.norm_out(h)).mean(dim=(2, 3), keepdim=True)
        return self.proj(pooled).flatten(1)


class Stem(nn.Module):
    """First convolution, after folding ``patch`` x ``patch`` pixels into channels; optionally a learned position."""

    def __init__(
        self, in_channels: int, out_channels: int, image_size: int, patch: int, learned_position: bool, ops: Operations
    ) -> None:
        super().__init__()
        self.patch = patch
        self.conv = ops.Conv2d(in_channels * patch**2, out_channels, 3, padding=1)
        self.position = _position(out_channels, image_size // patch) if learned_position else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        return h if self.position is None else h + self.position.to(h)


def _position(channels: int, size: int) -> nn.Parameter:
    position = torch.empty(1, channels, size, size)
    if not position.is_meta:  # nothing is drawn there, and torch would import its compiler before it finds out
        position.normal_(std=0.02)
    return nn.Parameter(position)


class _WithAttention(nn.Module):
    """A residual block followed by self-attention at the same resolution, and by cross-attention where there is any."""

    def __init__(self, block: ResBlock, attention: SelfAttention2d, cross: nn.Module | None) -> None:
        super().__init__()
        self.block, self.attention, self.cross = block, attention, cross

    def forward(
        self,
        x: Tensor,
        time: Tensor | None = None,
        cond: Tensor | None = None,
        context: Any = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        h = self.attention(self.block(x, time, cond))
        return h if self.cross is None else self.cross(h, context, context_mask)


def _cross(channels: int, heads: int, context_dim: int | None, ops: Operations) -> CrossAttention2d | None:
    return None if context_dim is None else CrossAttention2d(channels, context_dim, heads, ops)
