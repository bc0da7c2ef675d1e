"""Attention by which a decoder of codes asks the encoder: RestoreFormer (Wang et al. 2022), its ++ at more scales.

The restored face's maps give keys and values, the degraded picture's maps the queries: so each place of the picture
looks up what of the codes belongs there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations
from ..diffusion.blocks import group_norm, zero_init


class Guides(NamedTuple):
    """The encoder's maps: `scales` [B, C, h, w], the finest first, and that of its middle."""

    scales: tuple[Tensor, ...]
    middle: Tensor


class GuidedAttention2d(nn.Module):
    """Residual attention of all positions of a guide to those of [B, C, H, W]."""

    def __init__(self, channels: int, heads: int = 1, operations: Operations = nn, eps: float = 1e-5) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_guide = (group_norm(channels, operations, eps) for _ in range(2))
        self.query = operations.Conv1d(channels, channels, 1)
        self.key_value = operations.Conv1d(channels, 2 * channels, 1)
        self.proj = zero_init(operations.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """x, guide [B, C, H, W] -> [B, C, H, W]."""
        height = x.shape[2]
        asked = self.query(rearrange(self.norm_guide(guide), "b c h w -> b c (h w)"))
        shown = self.key_value(rearrange(self.norm(x), "b c h w -> b c (h w)"))
        q = rearrange(asked, "b (n d) l -> b n l d", n=self.heads).contiguous()
        k, v = (part.contiguous() for part in rearrange(shown, "b (n two d) l -> two b n l d", n=self.heads, two=2))
        out = self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b n l d -> b (n d) l"))
        return x + rearrange(out, "b c (h w) -> b c h w", h=height)


def run_guided(stem: Iterable[nn.Module], scales: nn.ModuleList, h: Tensor, guides: Guides) -> Tensor:
    """A decoder's stem and scales, coarsest first, whose attention asks the guides: [B, D, h, w] -> [B, C, H, W]."""
    places = [(stem, guides.middle), *zip(scales, reversed(guides.scales), strict=True)]
    for layers, guide in places:
        for layer in layers:  # type: ignore[attr-defined]
            h = layer(h, guide) if isinstance(layer, GuidedAttention2d) else layer(h)
    return h
