"""Settings of the vector-quantised auto-encoder: from CodeFormer's and RestoreFormer++'s layouts to small networks."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import LARGEST, Config
from ..errors import InputError
from .quantiser import CodebookConfig


@dataclass(frozen=True)
class VQAutoencoderConfig(Config):
    """Sizes.

    `channels` at each scale, halving from one to the next, after folding `patch` x `patch` pixels into channels;
    `blocks` residual blocks at each; `attention` at the scales it names; `middle`: CodeFormer's block-attention-block
    in the middle; `norm`: group normalisation. `bypass`: lines of the low band that reach the decoder, 0 for none, of
    which the finest, a share `fade`, get fainter and fainter, so that edges do not ring; `linear`: beside the layers a
    linear filter sharpens it; `unseen`: the lines below which the encoder sees nothing, so that no light and no colour
    cast changes a code. `taming`: the layout of Esser et al. 2021: a block more at each scale of the decoder, SiLU
    before the last convolutions, finer norms, and a 1x1 convolution between codes and decoder. `heads` of all
    attention; `guided`: the scales at which the decoder's attention, and that of its middle, asks the encoder (empty:
    none).
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
    taming: bool = False
    heads: int = 1
    guided: tuple[bool, ...] = ()

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
        if self.guided and (len(self.guided) != len(self.channels) or not self.middle or self.bypass):
            raise InputError(
                f"{len(self.guided)} flags of guidance for {len(self.channels)} scales; give one each, to a net with a "
                "middle and without a by-pass."
            )
        asked = zip(self.channels, self.attention, self.guided or self.attention, strict=True)
        widths = [width for width, *flags in asked if any(flags)] + [self.channels[-1]] * self.middle
        if not 1 <= self.heads <= LARGEST or any(width % self.heads for width in widths):
            raise InputError(f"{self.heads} heads of attention do not share {widths} channels evenly.")
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

    @property
    def eps(self) -> float:
        """What the norms add to a variance."""
        return 1e-6 if self.taming else 1e-5
