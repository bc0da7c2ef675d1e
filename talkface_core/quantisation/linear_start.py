"""The decoder's linear filter at its best by least squares, before the first step of training."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .vq_autoencoder import DETAIL, Decoder


@torch.no_grad()
def fit_linear(decoder: Decoder, pairs: Iterable[tuple[Tensor | None, Tensor]], ridge: float = 1e-3) -> None:
    """Give a decoder's linear filter its best weights by least squares, which descent would take long to find.

    `pairs` are low bands and sharp pictures, both [B, 3, H, W] in -1..1. The filter maps the folded low band to what
    the sharp picture has more.
    """
    layer, fold = decoder.sharpen, decoder.fold
    assert layer is not None
    gram, moment = torch.zeros(()), torch.zeros(())
    for low, real in pairs:
        assert low is not None
        # Zeros beyond the border say nothing of pictures: without padding the edges are left out.
        inputs = rearrange(F.unfold(fold(low), 3), "b i l -> (b l) i")
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        outputs = rearrange(fold((real - low) / DETAIL)[..., 1:-1, 1:-1], "b o h w -> (b h w) o")
        gram, moment = gram + inputs.T @ inputs, moment + inputs.T @ outputs
    even = ridge * gram.diagonal().mean() * torch.eye(len(gram))
    solved = torch.linalg.solve((gram + even).double(), moment.double()).T.float()
    layer.weight.copy_(solved[:, :-1].reshape(layer.weight.shape))
    layer.bias.copy_(solved[:, -1])
