"""The transformer of the motion diffusion: frames of motion see one another, and each sees the sound of its own moment.

Source: JoyVASA (Cao et al. 2024), whose decoder masks all but one place of the sound for each frame. A softmax over
one place is 1, whatever the query and the key: so its cross-attention is the value of that place, and nothing else is
computed or kept here.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations


class AlignedLayer(nn.Module):
    """Attention among frames, the sound of each frame, a feed-forward net; normalised after each addition."""

    def __init__(self, width: int, heads: int, ff: int, dropout: float, operations: Operations = nn) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = operations.Linear(width, 3 * width)
        self.attended = operations.Linear(width, width)
        self.value = operations.Linear(width, width)
        self.heard = operations.Linear(width, width)
        self.wide = operations.Linear(width, ff)
        self.narrow = operations.Linear(ff, width)
        self.norms = nn.ModuleList([operations.LayerNorm(width) for _ in range(3)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, sound: Tensor) -> Tensor:
        """x [B,T,width], sound [B,T,width] -> [B,T,width]."""
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout.p if self.training else 0.0)
        x = self.norms[0](x + self.dropout(self.attended(rearrange(seen, "b h t d -> b t (h d)"))))
        x = self.norms[1](x + self.dropout(self.heard(self.value(sound))))
        return self.norms[2](x + self.dropout(self.narrow(self.dropout(F.gelu(self.wide(x))))))


@lru_cache(maxsize=8)
def sinusoids(count: int, width: int) -> Tensor:
    """Positions 0 to `count` - 1 as sines and cosines in turn [count,width] (Vaswani et al. 2017, section 3.5)."""
    position = torch.arange(count, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
    return torch.stack([torch.sin(position * rates), torch.cos(position * rates)], 2).flatten(1)
