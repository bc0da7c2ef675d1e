"""The transformer that predicts the codes of the sharp face from what an encoder sees of the soft one.

Source: CodeFormer (Zhou et al. 2022, section 3.2 and its published network): the grid of encodings as tokens, a learned
position that is added to queries and keys, layers that normalise first, logits over the codes. Attention is over the
whole face, so that what one eye shows helps with the other. Where a token stands for a square of codes (ours, for a
CPU), each of its codes is told by the token and by its own encoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError


@dataclass(frozen=True)
class CodePredictorConfig(Config):
    """`width`, `layers`, `heads` and `hidden` (of the MLP) of the transformer; `merge`: codes along a side of what one
    token stands for; `own`: numbers that tell one of several codes of a token, where `merge` is above 1."""

    width: int = 512
    layers: int = 9
    heads: int = 8
    hidden: int = 1024
    merge: int = 1
    own: int = 0

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "width", "layers", "heads", "hidden", "merge")
        if self.width % self.heads:
            raise InputError(f"a transformer {self.width} wide does not divide by {self.heads} heads.")
        if (self.merge > 1) != bool(self.own):
            raise InputError(f"tokens of {self.merge} x {self.merge} codes and {self.own} numbers for each; give both.")


class Layer(nn.Module):
    """Tokens [B, N, C] -> [B, N, C]: attention, whose queries and keys know their position, and an MLP."""

    def __init__(self, config: CodePredictorConfig, operations: Operations = nn) -> None:
        super().__init__()
        ops, width = operations, config.width
        self.heads = config.heads
        self.norm_attention, self.norm_mlp = ops.LayerNorm(width), ops.LayerNorm(width)
        self.query_key, self.value = ops.Linear(width, 2 * width), ops.Linear(width, width)
        self.out = ops.Linear(width, width)
        self.mlp = nn.Sequential(ops.Linear(width, config.hidden), nn.GELU(), ops.Linear(config.hidden, width))

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        """tokens [B, N, C]; position [N, C]."""
        h = self.norm_attention(tokens)
        query, key = self.query_key(h + position).chunk(2, -1)
        q, k, v = (self._split(part) for part in (query, key, self.value(h)))
        attended = rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)")
        tokens = tokens + self.out(attended)
        return tokens + self.mlp(self.norm_mlp(tokens))

    def _split(self, part: Tensor) -> Tensor:
        # Contiguous: on a CPU torch attends ten times as slowly where a head's numbers lie apart.
        return rearrange(part, "b n (h d) -> b h n d", h=self.heads).contiguous()


class CodePredictor(nn.Module):
    """Encodings [B, L, g, g] of a soft face -> logits [B, g, g, codes] of the sharp one's codes."""

    def __init__(
        self, config: CodePredictorConfig, latent: int, grid: int, codes: int, operations: Operations = nn
    ) -> None:
        """`latent`: L; `grid`: g, a multiple of `config.merge`."""
        super().__init__()
        if grid % config.merge:
            raise InputError(f"{grid} codes along a side do not divide into tokens of {config.merge}.")
        ops, merge = operations, config.merge
        self.config = config
        self.embed = ops.Linear(latent * merge**2, config.width)
        self.position = nn.Parameter(0.02 * torch.randn((grid // merge) ** 2, config.width))
        self.layers = nn.ModuleList(Layer(config, ops) for _ in range(config.layers))
        self.norm = ops.LayerNorm(config.width)
        self.spread = ops.Linear(config.width, merge**2 * config.own) if config.own else None
        self.local = ops.Linear(latent, config.own) if config.own else None
        self.logits = ops.Linear(config.own or config.width, codes, bias=False)

    def forward(self, latent: Tensor) -> Tensor:
        merge, side = self.config.merge, latent.shape[-1] // self.config.merge
        tokens = self.embed(rearrange(latent, "b l (h m) (w n) -> b (h w) (l m n)", m=merge, n=merge))
        position = self.position.to(tokens.dtype)
        for layer in self.layers:
            tokens = layer(tokens, position)
        tokens = self.norm(tokens)
        if self.spread is None or self.local is None:
            return self.logits(rearrange(tokens, "b (h w) c -> b h w c", h=side))
        spread = rearrange(self.spread(tokens), "b (h w) (m n c) -> b (h m) (w n) c", h=side, m=merge, n=merge)
        return self.logits(F.silu(spread + self.local(rearrange(latent, "b l h w -> b h w l"))))
