"""Conformer blocks: macaron feed-forward, relative self-attention, depthwise convolution.

Source: Conformer (Gulati et al. 2020); relative positions as in Transformer-XL (Dai et al. 2019, section 3.3).
DAE-Talker stacks N of them before and N after its pose adaptor; width, heads and depth follow the same laboratory's
published code (width 512, 2 heads, feed-forward 512, kernel 13, post-norm, dropout 0.2).
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sinusoidal table [len(positions), width] (width even) of signed positions [P]."""
    frequencies = torch.exp(torch.arange(0, width, 2, device=positions.device) * (-math.log(10000.0) / width))
    angles = positions[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class RelativeAttention(nn.Module):
    """Multi-head self-attention whose scores depend on content and on the distance between frames.

    Distances beyond `max_distance` frames share one embedding, so windows longer than those of the training meet no
    position that was never trained. A frame sees no further than `context` frames to either side (0: all): the mouth
    follows half a second of sound, and a net that sees whole sentences of a small set remembers them.
    """

    def __init__(self, width: int, heads: int, max_distance: int = 100, context: int = 0, operations: Operations = nn):
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width {width} must be a multiple of twice the {heads} heads")
        self.heads, self.max_distance, self.context = heads, max_distance, context
        self.qkv = operations.Linear(width, 3 * width)
        self.position = operations.Linear(width, width, bias=False)
        self.out = operations.Linear(width, width)
        self.content_bias = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.position_bias = nn.Parameter(torch.zeros(heads, 1, width // heads))

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """x [B, T, width] -> [B, T, width]; `valid` bool [B, T] hides padded frames from all others."""
        frames, width = x.shape[1:]
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        # Row r of the table is the distance frames-1-r = query index - key index, clipped.
        distances = torch.arange(frames - 1, -frames, -1, device=x.device).clamp(-self.max_distance, self.max_distance)
        table = rearrange(self.position(sinusoids(distances, width).to(x.dtype)), "p (h d) -> h p d", h=self.heads)
        content = (q + self.content_bias.to(q.dtype)) @ k.transpose(-1, -2)
        position = self._shift((q + self.position_bias.to(q.dtype)) @ table.transpose(-1, -2))
        scores = (content + position) / math.sqrt(width // self.heads)
        lowest = torch.finfo(scores.dtype).min
        if self.context:
            index = torch.arange(frames, device=x.device)
            scores = scores.masked_fill((index[:, None] - index).abs() > self.context, lowest)
        if valid is not None:
            scores = scores.masked_fill(~valid[:, None, None, :], lowest)
        return self.out(rearrange(scores.softmax(dim=-1) @ v, "b h t d -> b t (h d)"))

    @staticmethod
    def _shift(scores: Tensor) -> Tensor:
        """[B, H, T, 2T-1] by distance -> [B, H, T, T] by key: row i starts at column T-1-i (Transformer-XL, app. B)."""
        b, h, t, p = scores.shape
        padded = F.pad(scores, (1, 0)).reshape(b, h, p + 1, t)
        return padded[:, :, 1:].reshape(b, h, t, p)[..., :t]


class ConvModule(nn.Module):
    """Pointwise-GLU, depthwise convolution over time, SiLU, pointwise.

    LayerNorm stands where the original has BatchNorm: its result depends neither on the other clips of a batch nor on
    how a long recording is cut into windows, and a moving average of the weights needs no statistics of its own.
    `norm=False` goes without: a trained BatchNorm is a part of the convolution before it.
    """

    def __init__(
        self, width: int, kernel: int = 13, dropout: float = 0.0, norm: bool = True, operations: Operations = nn
    ):
        super().__init__()
        if kernel % 2 == 0:
            raise ValueError(f"the kernel must be odd to stay centred on its frame, not {kernel}")
        self.expand = operations.Linear(width, 2 * width)
        self.depthwise = operations.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = operations.LayerNorm(width) if norm else nn.Identity()
        self.out = operations.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        x = F.glu(self.expand(x), dim=-1)
        if valid is not None:
            x = x * valid[..., None].to(x.dtype)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.dropout(self.out(F.silu(self.norm(x))))


def feed_forward(width: int, hidden: int, dropout: float, operations: Operations = nn) -> nn.Sequential:
    """Linear-SiLU-Linear of the macaron pair. One dropout per branch: drawing masks is slow on a CPU."""
    return nn.Sequential(
        operations.Linear(width, hidden),
        nn.SiLU(),
        operations.Linear(hidden, width),
        nn.Dropout(dropout),
    )


class ConformerBlock(nn.Module):
    """x + 1/2 FF, + attention, + convolution, + 1/2 FF, norm; `pre_norm=False` normalises after each sum instead.

    Of a block that normalises after each sum, `final_norm` adds the last one all the same, as ESPnet's does.
    `conv_norm` is `ConvModule`'s, `eps` what keeps the norms from dividing by zero.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        ff: int,
        kernel: int = 13,
        max_distance: int = 100,
        context: int = 0,
        dropout: float = 0.0,
        pre_norm: bool = True,
        final_norm: bool = False,
        conv_norm: bool = True,
        eps: float = 1e-5,
        operations: Operations = nn,
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.first = feed_forward(width, ff, dropout, operations)
        self.attention = RelativeAttention(width, heads, max_distance, context, operations)
        self.conv = ConvModule(width, kernel, dropout, conv_norm, operations)
        self.second = feed_forward(width, ff, dropout, operations)
        norms = 5 if pre_norm or final_norm else 4
        self.norms = nn.ModuleList([operations.LayerNorm(width, eps=eps) for _ in range(norms)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """x [B, T, width] -> [B, T, width]."""
        steps = (
            lambda y: 0.5 * self.first(y),
            lambda y: self.dropout(self.attention(y, valid)),
            lambda y: self.conv(y, valid),
            lambda y: 0.5 * self.second(y),
        )
        for step, norm in zip(steps, self.norms, strict=False):
            x = x + step(norm(x)) if self.pre_norm else norm(x + step(x))
        return self.norms[4](x) if len(self.norms) > 4 else x


class Conformer(nn.Module):
    """A stack of blocks; keyword arguments as in `ConformerBlock`."""

    def __init__(self, blocks: int, width: int, heads: int, ff: int, **options: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ConformerBlock(width, heads, ff, **options) for _ in range(blocks)])

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """x [B, T, width] -> [B, T, width]; `valid` bool [B, T] marks real frames."""
        for block in self.blocks:
            x = block(x, valid)
        return x
