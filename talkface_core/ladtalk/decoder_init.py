"""Initialises the SOVQAE decoder's linear layer by least squares, before the first step of training."""

from __future__ import annotations

from collections.abc import Iterable

from einops import rearrange
from torch import Tensor

from ..pixels import to_signed
from ..quantisation.linear_start import fit_linear
from .sovqae import SOVQAE


def init_decoder_lstsq(net: SOVQAE, pairs: Iterable[tuple[Tensor, Tensor]], ridge: float = 1e-3) -> None:
    """`fit_linear` on pairs of what is seen and the sharp picture of it, both [B, 3, H, W] in -1..1."""
    fit_linear(net.decoder, ((net.low(seen), real) for seen, real in pairs), ridge)


def to_pixels(frames: Tensor) -> Tensor:
    """Frames uint8 [B, H, W, 3] as float32 [B, 3, H, W] in -1..1."""
    return rearrange(to_signed(frames), "b h w c -> b c h w")
