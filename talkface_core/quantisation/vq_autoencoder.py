"""The vector-quantised auto-encoder of face pictures: convolutions down to a grid of codes, and up again.

Its settings reach from the first stage of CodeFormer (Zhou et al. 2022), the standard among face VQ auto-encoders (512
px, 16 x 16 codes), to small networks for a CPU: pixels folded into channels, no normalisation, and a by-pass (ours):
the picture's low band reaches the decoder unquantised, and the codes add what lies above it. So small a book of codes
cannot hold the looks of people that it never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..bands import low_band
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.blocks import SelfAttention2d, group_norm, zero_init
from ..errors import InputError
from .quantiser import CodebookConfig, Quantised, Quantiser

DETAIL = 0.1
"""The unit of what is added to the low band: fine detail is faint, and a step of training must not drown it."""

GAIN = 4.0
"""How much an encoder that sees no light and colour magnifies what is left."""

Fuse = Callable[[int, Tensor], Tensor]
"""What is made of the decoder's map [B, C, h, w] after the first block of a scale, whose number (0: the finest) comes
first."""


@dataclass(frozen=True)
class VQAutoencoderConfig(Config):
    """Sizes.

    `channels` at each scale, halving from one to the next, after folding `patch` x `patch` pixels into channels;
    `blocks` residual blocks at each; `attention` at the scales it names; `middle`: CodeFormer's block-attention-block
    in the middle; `norm`: group normalisation. `bypass`: lines of the low band that reach the decoder, 0 for none, of
    which the finest, a share `fade`, get fainter and fainter, so that edges do not ring; `linear`: beside the layers a
    linear filter sharpens it; `unseen`: the lines below which the encoder sees nothing, so that no light and no colour
    cast changes a code.
    """

    image_size: int = 512
    patch: int = 1
    channels: tuple[int, ...] = (64, 128, 128, 256, 256, 512)
    blocks: int = 2
    attention: tuple[bool, ...] = (False, False, False, False, False, True)
    middle: bool = True
    norm: bool = True
    bypass: int = 0
    unseen: int = 0
    codebook: CodebookConfig = field(default_factory=CodebookConfig)
    linear: bool = True
    fade: float = 0.0

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "image_size", "patch", "channels", "blocks")
        self.check_range(0, 1, "fade")
        if not 1 <= len(self.channels) <= 10 or self.image_size > 4096:
            raise InputError(f"{len(self.channels)} scales of {self.image_size} px; give 1 to 10, and 4096 px at most.")
        if max(self.bypass, self.unseen) > self.image_size:
            raise InputError(f"bands of {self.bypass} and {self.unseen} lines in {self.image_size} px; give fewer.")
        if len(self.attention) != len(self.channels):
            raise InputError(
                f"{len(self.attention)} flags of attention for {len(self.channels)} scales; give one each."
            )
        if self.image_size % self.factor:
            raise InputError(f"{self.image_size} px do not divide by the factor {self.factor} of these scales.")

    @property
    def factor(self) -> int:
        """Pixels along a side of one code."""
        return self.patch * 2 ** (len(self.channels) - 1)

    @property
    def grid(self) -> int:
        """Codes along a side of a picture."""
        return self.image_size // self.factor


class ResBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), [B, in, H, W] -> [B, out, H, W]; starts as the identity."""

    def __init__(self, in_channels: int, out_channels: int, norm: bool, ops: Operations) -> None:
        super().__init__()
        self.norm_in, self.norm_out = (_norm(channels, norm, ops) for channels in (in_channels, out_channels))
        self.conv_in = ops.Conv2d(in_channels, out_channels, 3, padding=1)
        self.conv_out = zero_init(ops.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = ops.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        return self.skip(x) + self.conv_out(F.silu(self.norm_out(h), inplace=not torch.is_grad_enabled()))


class Encoder(nn.Module):
    """Frames [B, 3, H, W] in -1..1 -> encodings [B, D, H/f, W/f]."""

    def __init__(self, config: VQAutoencoderConfig, operations: Operations = nn) -> None:
        super().__init__()
        ops, norm, channels = operations, config.norm, config.channels
        layers: list[nn.Module] = [nn.PixelUnshuffle(config.patch)] if config.patch > 1 else []
        width = channels[0]
        layers.append(ops.Conv2d(3 * config.patch**2, width, 3, padding=1))
        self.ends: list[int] = []
        for scale, out in enumerate(channels):
            if scale:
                layers += [nn.ZeroPad2d((0, 1, 0, 1)), ops.Conv2d(width, width, 3, stride=2)]
            layers += _blocks(width, out, config, scale, ops)
            self.ends.append(len(layers))
            width = out
        layers += [*_middle(width, config, ops), _norm(width, norm, ops), *([] if norm else [nn.SiLU()])]
        layers.append(ops.Conv2d(width, config.codebook.dim, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)

    def with_maps(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The encodings, and the map [B, C, h, w] at the end of each scale, the finest first."""
        maps, begin, h = [], 0, frames
        for end in self.ends:
            h = self.layers[begin:end](h)
            maps.append(h)
            begin = end
        return self.layers[begin:](h), maps


class Decoder(nn.Module):
    """Codes [B, D, H/f, W/f] and, where the net has a by-pass, the low band [B, 3, H, W] -> frames [B, 3, H, W]."""

    def __init__(self, config: VQAutoencoderConfig, operations: Operations = nn) -> None:
        super().__init__()
        ops, norm, channels, patch = operations, config.norm, config.channels, config.patch
        width = channels[-1]
        self.stem = nn.Sequential(ops.Conv2d(config.codebook.dim, width, 3, padding=1), *_middle(width, config, ops))
        self.scales = nn.ModuleList()
        for scale in reversed(range(len(channels))):
            layers = _blocks(width, channels[scale], config, scale, ops)
            width = channels[scale]
            if scale:
                up = channels[scale - 1] if config.bypass and scale == 1 else width
                layers += [nn.Upsample(scale_factor=2, mode="nearest"), ops.Conv2d(width, up, 3, padding=1)]
                width = up
            self.scales.append(nn.Sequential(*layers))
        self.low = ops.Conv2d(3 * patch**2, width, 3, padding=1) if config.bypass else None
        # What a linear filter makes of the low band need not be learnt by the layers in between.
        linear = config.bypass and config.linear
        self.sharpen: Any = zero_init(ops.Conv2d(3 * patch**2, 3 * patch**2, 3, padding=1)) if linear else None
        out = ops.Conv2d(width, 3 * patch**2, 3, padding=1)
        self.out = nn.Sequential(_norm(width, norm, ops), *([] if norm else [nn.SiLU()]), out)
        if config.bypass:
            # Small and not zero: the codes then get a gradient from the first step.
            with torch.no_grad():
                out.weight.mul_(0.1)
                out.bias.zero_()
        self.fold, self.unfold = nn.PixelUnshuffle(patch), nn.PixelShuffle(patch)

    @property
    def last(self) -> nn.Module:
        """The last convolution, whose gradients balance the losses (Esser et al. 2021, eq. 7)."""
        return self.out[-1]

    def forward(self, z_q: Tensor, low: Tensor | None = None, fuse: Fuse | None = None) -> Tensor:
        """`fuse` changes the map after each scale's first block, where something else has a say."""
        if self.low is None:
            return self.unfold(self.out(self._scales(self.stem(z_q), None, fuse)))
        assert low is not None
        folded = self.fold(low.to(z_q.dtype))
        detail = self.out(self._scales(self.stem(z_q), self.low(folded), fuse))
        if self.sharpen is not None:
            detail = detail + self.sharpen(folded)
        return low + DETAIL * self.unfold(detail).to(low.dtype)

    def _scales(self, h: Tensor, low: Tensor | None, fuse: Fuse | None) -> Tensor:
        finest = len(self.scales) - 1
        for n, scale in enumerate(self.scales):
            assert isinstance(scale, nn.Sequential)
            if n == finest and low is not None:
                h = h + low
            h = scale(h) if fuse is None else scale[1:](fuse(finest - n, scale[0](h)))
        return h


class VQOutput(NamedTuple):
    """Frames [B, 3, H, W] and how they were quantised."""

    frames: Tensor
    quantised: Quantised


class VQAutoencoder(nn.Module):
    """Frames [B, 3, H, W] in -1..1 to codes and back; height and width are multiples of the config's factor."""

    def __init__(self, config: VQAutoencoderConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config, operations), Decoder(config, operations)
        self.quantiser = Quantiser(config.codebook)

    def view(self, frames: Tensor) -> Tensor:
        """What the encoder is shown of frames [B, 3, H, W], in the networks' dtype."""
        return seen(frames, self.config.unseen / self.config.image_size).to(self.dtype)

    def encode(self, frames: Tensor) -> Tensor:
        """Encodings [B, h, w, D] as the codebook compares them, float32 or float64."""
        return self.quantiser.project(channels_at_the_end(self.encoder(self.view(frames))))

    def codes(self, frames: Tensor) -> Tensor:
        """The codes [B, h, w] of frames."""
        return self.quantiser.nearest(self.encode(frames))

    def low(self, frames: Tensor) -> Tensor | None:
        """The low band [B, 3, H, W] that by-passes the codes, in the frames' dtype; None for a net without one."""
        if not self.config.bypass:
            return None
        return low_band(frames, self.config.bypass / self.config.image_size, fade=self.config.fade)

    def decode(self, codes: Tensor, low: Tensor | None = None) -> Tensor:
        """Frames [B, 3, H, W] of codes [B, h, w] and the low band."""
        return self.decoder(channels_first(self.quantiser.lookup(codes)).to(self.dtype), low)

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; frames may come in float32 all the same."""
        return next(self.encoder.parameters()).dtype

    def forward(self, frames: Tensor) -> VQOutput:
        quantised = self.quantiser(channels_at_the_end(self.encoder(self.view(frames))))
        return VQOutput(self.decoder(channels_first(quantised.z_q).to(self.dtype), self.low(frames)), quantised)


def seen(frames: Tensor, unseen: float) -> Tensor:
    """What an encoder that sees nothing of the lowest `unseen` (a share) of the cosines is shown of frames."""
    return GAIN * (frames - low_band(frames, unseen)) if unseen else frames


def channels_at_the_end(maps: Tensor) -> Tensor:
    """[B, D, h, w] -> [B, h, w, D], as a codebook reads encodings."""
    return rearrange(maps, "b d h w -> b h w d")


def channels_first(vectors: Tensor) -> Tensor:
    """[B, h, w, D] -> [B, D, h, w], as a decoder reads codes."""
    return rearrange(vectors, "b h w d -> b d h w")


def _norm(channels: int, norm: bool, ops: Operations) -> nn.Module:
    return group_norm(channels, ops) if norm else nn.Identity()


def _blocks(width: int, out: int, config: VQAutoencoderConfig, scale: int, ops: Operations) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n in range(config.blocks):
        layers.append(ResBlock(width if n == 0 else out, out, config.norm, ops))
        layers += [SelfAttention2d(out, operations=ops)] if config.attention[scale] else []
    return layers


def _middle(width: int, config: VQAutoencoderConfig, ops: Operations) -> list[nn.Module]:
    if not config.middle:
        return []
    first, last = (ResBlock(width, width, config.norm, ops) for _ in range(2))
    return [first, SelfAttention2d(width, operations=ops), last]
