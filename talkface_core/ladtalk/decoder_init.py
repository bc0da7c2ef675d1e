"""Initialises the SOVQAE decoder's linear layer by least squares, before the first step of training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..pixels import to_signed
from ..quantisation.vq_autoencoder import DETAIL
from .sovqae import SOVQAE


@torch.no_grad()
def init_decoder_lstsq(net: SOVQAE, pairs: Iterable[tuple[Tensor, Tensor]], ridge: float = 1e-3) -> None:
    """Give the decoder's linear layer its best weights by least squares, which descent would take long to find.

    `pairs` are what is seen and the sharp picture of it, both [B, 3, H, W] in -1..1. The layer maps the folded low band
    of what is seen to what the sharp picture has more.
    """
    layer, fold = net.decoder.sharpen, net.decoder.fold
    gram = moment = 0.0
    for degraded, real in pairs:
        low = net.low(degraded)
        # Zeros beyond the border say nothing of pictures: without padding the edges are left out.
        inputs = rearrange(F.unfold(fold(low), 3), "b i l -> (b l) i")
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        outputs = rearrange(fold((real - low) / DETAIL)[..., 1:-1, 1:-1], "b o h w -> (b h w) o")
        gram, moment = gram + inputs.T @ inputs, moment + inputs.T @ outputs
    even = ridge * gram.diagonal().mean() * torch.eye(len(gram))
    solved = torch.linalg.solve((gram + even).double(), moment.double()).T.float()
    layer.weight.copy_(solved[:, :-1].reshape(layer.weight.shape))
    layer.bias.copy_(solved[:, -1])


def to_pixels(frames: Tensor) -> Tensor:
    """Frames uint8 [B, H, W, 3] as float32 [B, 3, H, W] in -1..1."""
    return rearrange(to_signed(frames), "b h w c -> b c h w")
