"""The vector-quantised auto-encoder of face pictures: convolutions down to a grid of codes, and up again.

Its settings (vq_config.py) reach from the first stage of CodeFormer (Zhou et al. 2022), the standard among face VQ
auto-encoders (512 px, 16 x 16 codes), and the layout it came from, that of taming transformers (Esser et al. 2021),
which RestoreFormer++ has too (guided.py), to small networks for a CPU: pixels folded into channels, no normalisation,
and a by-pass (ours): the picture's low band reaches the decoder unquantised, and the codes add what lies above it. So
small a book of codes cannot hold the looks of people that it never saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..bands import low_band
from ..device import Operations
from ..diffusion.blocks import SelfAttention2d, group_norm, zero_init
from ..errors import InputError
from .guided import GuidedAttention2d, Guides, run_guided
from .quantiser import Quantised, Quantiser
from .vq_config import VQAutoencoderConfig

DETAIL = 0.1
"""The unit of what is added to the low band: fine detail is faint, and a step of training must not drown it."""

GAIN = 4.0
"""How much an encoder that sees no light and colour magnifies what is left."""

Fuse = Callable[[int, Tensor], Tensor]
"""What is made of the decoder's map [B, C, h, w] after the first block of a scale, whose number (0: the finest) comes
first."""


class ResBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), [B, in, H, W] -> [B, out, H, W]; starts as the identity."""

    def __init__(self, in_channels: int, out_channels: int, norm: bool, ops: Operations, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm_in, self.norm_out = (_norm(channels, norm, ops, eps) for channels in (in_channels, out_channels))
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
        ops, channels = operations, config.channels
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
        layers += [*_middle(width, config, ops), *_last(width, config, ops)]
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

    def with_guides(self, frames: Tensor) -> tuple[Tensor, Guides]:
        """The encodings, and the maps that a guided decoder asks, for a net with a middle."""
        begin = self.ends[-1]
        h, maps = frames, []
        for first, end in zip([0, *self.ends], self.ends, strict=False):
            h = self.layers[first:end](h)
            maps.append(h)
        # The coarsest scale asks what stands before the middle's attention.
        maps[-1] = self.layers[begin](h)
        middle = self.layers[begin + 1 : begin + 3](maps[-1])
        return self.layers[begin + 3 :](middle), Guides(tuple(maps), middle)


class Decoder(nn.Module):
    """Codes [B, D, H/f, W/f] and, where the net has a by-pass, the low band [B, 3, H, W] -> frames [B, 3, H, W]."""

    def __init__(self, config: VQAutoencoderConfig, operations: Operations = nn) -> None:
        super().__init__()
        ops, channels, patch = operations, config.channels, config.patch
        width, dim = channels[-1], config.codebook.dim
        first = [ops.Conv2d(dim, dim, 1)] if config.taming else []
        guided = bool(config.guided)
        middle = _middle(width, config, ops, guided)
        self.stem = nn.Sequential(*first, ops.Conv2d(dim, width, 3, padding=1), *middle)
        self.scales = nn.ModuleList()
        for scale in reversed(range(len(channels))):
            layers = _blocks(width, channels[scale], config, scale, ops, int(config.taming), guided)
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
        self.out = nn.Sequential(*_last(width, config, ops), out)
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

    def forward(
        self, z_q: Tensor, low: Tensor | None = None, fuse: Fuse | None = None, guides: Guides | None = None
    ) -> Tensor:
        """`fuse` changes the map after each scale's first block, where something else has a say; `guides` are the
        encoder's maps, for a net that asks them."""
        if guides is not None:
            return self.unfold(self.out(run_guided(self.stem, self.scales, z_q, guides)))
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
        """Frames [B, 3, H, W] of codes [B, h, w] and the low band. Raises InputError for a net whose decoder asks the
        encoder."""
        if self.config.guided:
            raise InputError("this network draws no picture of codes alone: its decoder asks the encoder.")
        return self.decoder(channels_first(self.quantiser.lookup(codes)).to(self.dtype), low)

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; frames may come in float32 all the same."""
        return next(self.encoder.parameters()).dtype

    def forward(self, frames: Tensor) -> VQOutput:
        if self.config.guided:
            encodings, guides = self.encoder.with_guides(self.view(frames))
            quantised = self.quantiser(channels_at_the_end(encodings))
            z_q = channels_first(quantised.z_q).to(self.dtype)
            return VQOutput(self.decoder(z_q, guides=guides), quantised)
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


def _norm(channels: int, norm: bool, ops: Operations, eps: float) -> nn.Module:
    return group_norm(channels, ops, eps) if norm else nn.Identity()


def _last(width: int, config: VQAutoencoderConfig, ops: Operations) -> list[nn.Module]:
    """What stands before the last convolution of a half."""
    return [_norm(width, config.norm, ops, config.eps), *([] if config.norm and not config.taming else [nn.SiLU()])]


def _blocks(
    width: int, out: int, config: VQAutoencoderConfig, scale: int, ops: Operations, more: int = 0, guided: bool = False
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    attends = config.guided[scale] if guided else config.attention[scale]
    for n in range(config.blocks + more):
        layers.append(ResBlock(width if n == 0 else out, out, config.norm, ops, config.eps))
        layers += [_attention(out, config, ops, guided)] if attends else []
    return layers


def _middle(width: int, config: VQAutoencoderConfig, ops: Operations, guided: bool = False) -> list[nn.Module]:
    if not config.middle:
        return []
    first, last = (ResBlock(width, width, config.norm, ops, config.eps) for _ in range(2))
    return [first, _attention(width, config, ops, guided), last]


def _attention(width: int, config: VQAutoencoderConfig, ops: Operations, guided: bool) -> nn.Module:
    return (GuidedAttention2d if guided else SelfAttention2d)(width, config.heads, ops, config.eps)
