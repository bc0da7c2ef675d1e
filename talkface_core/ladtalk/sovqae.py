"""SOVQAE: the vector-quantised auto-encoder that restores a face's texture (LaDTalk, Yang et al. 2024, v3).

Nearest-code quantisation is the denoiser: noise on the input below the margin of a position leaves its code, and what
the decoder draws, unchanged (robustness.py). The paper does not tell its network. `base` is the first stage of
CodeFormer (Zhou et al. 2022), the standard among face VQ auto-encoders: 512 px, 16 x 16 codes.

`tiny` is made for a CPU: 256 px, pixels folded 4 x 4 into channels, 32 x 32 codes, no normalisation. So small a book of
codes cannot hold the looks of people that it never saw, so `tiny` has a by-pass (ours): the picture's low band, below
what Wav2Lip's 96 px can show, reaches the decoder unquantised, and the codes add what lies above it. Blur and
resampling change the low band little; all fine texture still has to pass the codes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..bands import low_band
from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.blocks import SelfAttention2d, group_norm, zero_init
from ..errors import InputError
from ..quantisation.quantiser import CodebookConfig, Quantised, Quantiser

COMPONENT = "sovqae"

DETAIL = 0.1
"""The unit of what is added to the low band: fine detail is faint, and a step of training must not drown it."""

GAIN = 4.0
"""How much an encoder that sees no light and colour magnifies what is left."""


@dataclass(frozen=True)
class SOVQAEConfig(Config):
    """Sizes.

    `channels` at each scale, halving from one to the next, after folding `patch` x `patch` pixels into channels;
    `blocks` residual blocks at each; `attention` at the scales it names; `middle`: CodeFormer's block-attention-block
    in the middle; `norm`: group normalisation. `bypass`: lines of the low band that reach the decoder, 0 for none;
    `unseen`: the lines below which the encoder sees nothing, so that no light and no colour cast changes a code.
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

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "image_size", "patch", "channels", "blocks")
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

    @classmethod
    def presets(cls) -> dict[str, SOVQAEConfig]:
        """ "base", of the standard's size, and "tiny" (bundled)."""
        tiny = cls(
            image_size=256,
            patch=4,
            channels=(96, 144),
            blocks=3,
            attention=(False, False),
            middle=False,
            norm=False,
            bypass=96,
            unseen=32,
            codebook=CodebookConfig(codes=1024, dim=8, sphere=True, whiten=True),
        )
        return {"base": cls(), "tiny": tiny}


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

    def __init__(self, config: SOVQAEConfig, operations: Operations = nn) -> None:
        super().__init__()
        ops, norm, channels = operations, config.norm, config.channels
        layers: list[nn.Module] = [nn.PixelUnshuffle(config.patch)] if config.patch > 1 else []
        width = channels[0]
        layers.append(ops.Conv2d(3 * config.patch**2, width, 3, padding=1))
        for scale, out in enumerate(channels):
            if scale:
                layers += [nn.ZeroPad2d((0, 1, 0, 1)), ops.Conv2d(width, width, 3, stride=2)]
            layers += _blocks(width, out, config, scale, ops)
            width = out
        layers += [*_middle(width, config, ops), _norm(width, norm, ops), *([] if norm else [nn.SiLU()])]
        layers.append(ops.Conv2d(width, config.codebook.dim, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        return self.layers(frames)


class Decoder(nn.Module):
    """Codes [B, D, H/f, W/f] and, where the net has a by-pass, the low band [B, 3, H, W] -> frames [B, 3, H, W]."""

    def __init__(self, config: SOVQAEConfig, operations: Operations = nn) -> None:
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
        self.sharpen = zero_init(ops.Conv2d(3 * patch**2, 3 * patch**2, 3, padding=1)) if config.bypass else None
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

    def forward(self, z_q: Tensor, low: Tensor | None = None) -> Tensor:
        if self.low is None:
            return self.unfold(self.out(self._scales(self.stem(z_q))))
        folded = self.fold(low.to(z_q.dtype))
        h = self._scales(self.stem(z_q), self.low(folded))
        return low + DETAIL * self.unfold(self.out(h) + self.sharpen(folded)).to(low.dtype)

    def _scales(self, h: Tensor, low: Tensor | None = None) -> Tensor:
        for scale in self.scales[:-1]:
            h = scale(h)
        return self.scales[-1](h if low is None else h + low)


class SOVQAEOutput(NamedTuple):
    """Frames [B, 3, H, W] and how they were quantised."""

    frames: Tensor
    quantised: Quantised


class SOVQAE(nn.Module):
    """Frames [B, 3, H, W] in -1..1 to codes and back; height and width are multiples of the config's factor."""

    def __init__(self, config: SOVQAEConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config, operations), Decoder(config, operations)
        self.quantiser = Quantiser(config.codebook)

    def view(self, frames: Tensor) -> Tensor:
        """What the encoder is shown of frames [B, 3, H, W], in the networks' dtype."""
        if self.config.unseen:
            frames = GAIN * (frames - low_band(frames, self.config.unseen / self.config.image_size))
        return frames.to(self.dtype)

    def encode(self, frames: Tensor) -> Tensor:
        """Encodings [B, h, w, D] as the codebook compares them, float32 or float64."""
        return self.quantiser.project(_channels_last(self.encoder(self.view(frames))))

    def codes(self, frames: Tensor) -> Tensor:
        """The codes [B, h, w] of frames."""
        return self.quantiser.nearest(self.encode(frames))

    def low(self, frames: Tensor) -> Tensor | None:
        """The low band [B, 3, H, W] that by-passes the codes, in the frames' dtype; None for a net without one."""
        if not self.config.bypass:
            return None
        return low_band(frames, self.config.bypass / self.config.image_size)

    def decode(self, codes: Tensor, low: Tensor | None = None) -> Tensor:
        """Frames [B, 3, H, W] of codes [B, h, w] and the low band."""
        return self.decoder(_channels_first(self.quantiser.lookup(codes)).to(self.dtype), low)

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; frames may come in float32 all the same."""
        return next(self.encoder.parameters()).dtype

    def forward(self, frames: Tensor) -> SOVQAEOutput:
        quantised = self.quantiser(_channels_last(self.encoder(self.view(frames))))
        return SOVQAEOutput(self.decoder(_channels_first(quantised.z_q).to(self.dtype), self.low(frames)), quantised)


TEXTURE = Component(COMPONENT, SOVQAEConfig, SOVQAE, half=True, exact=("quantiser",))


def _channels_last(maps: Tensor) -> Tensor:
    return rearrange(maps, "b d h w -> b h w d")


def _channels_first(vectors: Tensor) -> Tensor:
    return rearrange(vectors, "b h w d -> b d h w")


def _norm(channels: int, norm: bool, ops: Operations) -> nn.Module:
    return group_norm(channels, ops) if norm else nn.Identity()


def _blocks(width: int, out: int, config: SOVQAEConfig, scale: int, ops: Operations) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n in range(config.blocks):
        layers.append(ResBlock(width if n == 0 else out, out, config.norm, ops))
        layers += [SelfAttention2d(out, operations=ops)] if config.attention[scale] else []
    return layers


def _middle(width: int, config: SOVQAEConfig, ops: Operations) -> list[nn.Module]:
    if not config.middle:
        return []
    first, last = (ResBlock(width, width, config.norm, ops) for _ in range(2))
    return [first, SelfAttention2d(width, operations=ops), last]
