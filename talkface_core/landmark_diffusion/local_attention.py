"""Transformer blocks over a film's frames and its references, in which a frame sees no further than its neighbours.

Source: ours, of pre-norm Transformer encoder layers (Vaswani et al. 2017) with a learnt bias for each distance in time
(Shaw et al. 2018). References see one another, frames see them and the frames within reach, and nothing sees a
frame from beyond: so a window of a film, with so many frames on both sides, gives what the whole gives.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations


class LocalBlock(nn.Module):
    """x + attention, + feed-forward, both of normalised x."""

    def __init__(
        self, width: int, heads: int, ff: int, context: int, dropout: float = 0.0, operations: Operations = nn
    ) -> None:
        super().__init__()
        self.heads, self.context = heads, context
        self.attention_norm, self.ff_norm = operations.LayerNorm(width), operations.LayerNorm(width)
        self.qkv = operations.Linear(width, 3 * width)
        self.out = operations.Linear(width, width)
        self.distance = nn.Parameter(torch.zeros(heads, 2 * context + 1))
        self.grow, self.shrink = operations.Linear(width, ff), operations.Linear(ff, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, references: int) -> Tensor:
        """x [B, references + T, width] -> the same shape."""
        q, k, v = rearrange(self.qkv(self.attention_norm(x)), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        bias = self._bias(references, x.shape[1] - references).to(q.dtype)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
        x = x + self.dropout(self.out(rearrange(seen, "b h t d -> b t (h d)")))
        return x + self.dropout(self.shrink(F.gelu(self.grow(self.ff_norm(x)))))

    def _bias(self, references: int, frames: int) -> Tensor:
        """[heads, N + T, N + T]: what is added to the scores; minus infinity where nothing is seen."""
        place = torch.arange(frames, device=self.distance.device)
        away = place - place[:, None]
        near = self.distance[:, away.clamp(-self.context, self.context) + self.context]
        near = near.masked_fill(away.abs() > self.context, -torch.inf)
        bias = self.distance.new_zeros(self.heads, references + frames, references + frames)
        bias[:, :references, references:] = -torch.inf
        return torch.cat([bias[:, :, :references], torch.cat([bias[:, :references, references:], near], 1)], 2)
