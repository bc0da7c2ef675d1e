"""The KL-regularised autoencoder of latent diffusion: pictures to latents of a fraction of the side, and back.

Source: latent diffusion (Rombach et al. 2022, appendix G). Encoder and decoder are convolutions with residual blocks
and one layer of attention in the middle. Names of weights are those of the public files of Stable Diffusion's
autoencoder (an eighth of the side, four channels), of which no code was taken. For a CPU, `patch` > 1 folds pixels into
channels first: the finest maps, which cost most, are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError

_AT_ONCE = 8  # pictures: of 256 px a map of the decoder's finest level has 64 MiB each


@dataclass(frozen=True)
class KLConfig(Config):
    """Sizes of a `KLAutoencoder`: channels, and by how much more each level has, finest first; blocks of a level; side
    of the squares of pixels that are folded into channels before the finest level; `encodes`: whether it has its
    encoder, which what only draws can do without."""

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent_channels: int = 4
    patch: int = 1
    encodes: bool = True

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "channels", "multipliers", "latent_channels")
        self.check_range(1, 8, "blocks")
        self.check_range(1, 16, "patch")
        if not self.multipliers:
            raise InputError("an autoencoder without a level; give a multiplier for each")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(self.channels * factor for factor in self.multipliers)

    @property
    def factor(self) -> int:
        """Pixels of a picture's side for one of the latents'."""
        return self.patch * 2 ** (len(self.multipliers) - 1)


class KLAutoencoder(nn.Module):
    """Pixels [B,H,W,3] in 0..1 <-> latents [B,4,H/8,W/8] (of the public files' sizes), not scaled."""

    def __init__(self, config: KLConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or KLConfig()
        latent = config.latent_channels
        self.encoder = _Encoder(config, operations) if config.encodes else None
        self.decoder = _Decoder(config, operations)
        self.quant_conv = operations.Conv2d(2 * latent, 2 * latent, 1) if config.encodes else None
        self.post_quant_conv = operations.Conv2d(latent, latent, 1)

    def distribution(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance [B,C,h,w] of the latents of pictures [B,3,H,W] in -1..1.

        Raises InputError where there is no encoder.
        """
        if self.encoder is None or self.quant_conv is None:
            raise InputError("this autoencoder decodes only: it was stored without its encoder; take the trained file.")
        mean, logvar = self.quant_conv(self.encoder(pictures)).chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def paint(self, latents: Tensor) -> Tensor:
        """Pictures [B,3,H,W] in about -1..1 of latents [B,C,h,w]."""
        return self.decoder(self.post_quant_conv(latents))

    def encode(self, pixels: Tensor) -> Tensor:
        """The mean of the latents' distribution."""
        x = 2 * rearrange(pixels, "b h w c -> b c h w") - 1
        means = [self.distribution(part)[0] for part in x.split(_AT_ONCE)]
        return torch.cat(means)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels in about 0..1."""
        pictures = [self.paint(part) for part in latents.split(_AT_ONCE)]
        return rearrange(torch.cat(pictures) / 2 + 0.5, "b c h w -> b h w c")


def _norm(channels: int, ops: Operations) -> nn.Module:
    return ops.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)


class _Block(nn.Module):
    """Two convolutions and what came in, which a convolution brings to the width where that changes."""

    def __init__(self, channels: int, width: int, ops: Operations) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(channels, ops), ops.Conv2d(channels, width, 3, padding=1)
        self.norm2, self.conv2 = _norm(width, ops), ops.Conv2d(width, width, 3, padding=1)
        self.nin_shortcut = ops.Conv2d(channels, width, 1) if channels != width else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class _Attention(nn.Module):
    """Every place looks at every other, with one head."""

    def __init__(self, channels: int, ops: Operations) -> None:
        super().__init__()
        self.norm = _norm(channels, ops)
        self.q, self.k, self.v, self.proj_out = (ops.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (rearrange(layer(h), "b c h w -> b 1 (h w) c") for layer in (self.q, self.k, self.v))
        seen = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(rearrange(seen, "b 1 (h w) c -> b c h w", h=x.shape[-2]))


class _Middle(nn.Module):
    """Block, attention, block at the coarsest level."""

    def __init__(self, channels: int, ops: Operations) -> None:
        super().__init__()
        self.block_1, self.block_2 = _Block(channels, channels, ops), _Block(channels, channels, ops)
        self.attn_1 = _Attention(channels, ops)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _Resample(nn.Module):
    """Half the side or twice the side, with a convolution."""

    def __init__(self, channels: int, up: bool, ops: Operations) -> None:
        super().__init__()
        self.up = up
        self.conv = ops.Conv2d(channels, channels, 3, padding=1) if up else ops.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        # Halved pictures begin at the first pixel: padding is at the right and below alone.
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest") if self.up else F.pad(x, (0, 1, 0, 1)))


class _Level(nn.Module):
    """The blocks of one level, then a change of side, unless it is the last."""

    def __init__(self, channels: int, width: int, blocks: int, resample: str | None, ops: Operations) -> None:
        super().__init__()
        self.block = nn.ModuleList(_Block(channels if n == 0 else width, width, ops) for n in range(blocks))
        self.downsample = _Resample(width, False, ops) if resample == "down" else None
        self.upsample = _Resample(width, True, ops) if resample == "up" else None

    def forward(self, x: Tensor) -> Tensor:
        for layer in (*self.block, self.downsample, self.upsample):
            x = x if layer is None else layer(x)
        return x


class _Encoder(nn.Module):
    """Pictures [B,3,H,W] in -1..1 -> mean and logarithm of the variance [B,8,H/8,W/8], before `quant_conv`."""

    def __init__(self, config: KLConfig, ops: Operations) -> None:
        super().__init__()
        widths, last = config.widths, len(config.widths) - 1
        self.patch = config.patch
        self.conv_in = ops.Conv2d(3 * config.patch**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            _Level(widths[max(n - 1, 0)], width, config.blocks, "down" if n < last else None, ops)
            for n, width in enumerate(widths)
        )
        self.mid = _Middle(widths[-1], ops)
        self.norm_out = _norm(widths[-1], ops)
        self.conv_out = ops.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class _Decoder(nn.Module):
    """Latents [B,4,H/8,W/8] after `post_quant_conv` -> pictures [B,3,H,W] in about -1..1."""

    def __init__(self, config: KLConfig, ops: Operations) -> None:
        super().__init__()
        widths, last = config.widths, len(config.widths) - 1
        self.conv_in = ops.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.mid = _Middle(widths[-1], ops)
        # Level 0 is the finest, here too.
        self.up = nn.ModuleList(
            _Level(widths[min(n + 1, last)], width, config.blocks + 1, "up" if n else None, ops)
            for n, width in enumerate(widths)
        )
        self.norm_out = _norm(widths[0], ops)
        self.patch = config.patch
        self.conv_out = ops.Conv2d(widths[0], 3 * config.patch**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return F.pixel_shuffle(x, self.patch) if self.patch > 1 else x
