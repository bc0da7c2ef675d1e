"""Blocks of the U-Nets: time embedding, adaptive group norm, residual block, self- and cross-attention, resampling.

Source: Dhariwal & Nichol 2021 (residual up/down sampling, zero-initialised last convolution) and the conditioning of
diffusion autoencoders (Preechakul et al. 2022, section 3.1), in the form their published networks use:
``(GN(h) * (1 + t_scale) + t_shift) * (1 + z_scale)``, before the second activation. Cross-attention to context tokens
is that of latent diffusion (Rombach et al. 2022, section 3.3).
Layers come from ``operations`` (``torch.nn`` by default), so that a host's casting layers fit.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding of integer time steps, [B] -> [B, dim] float32, cosines first (DDPM; Vaswani et al.)."""
    half = dim // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies[None]
    embedding = torch.cat([angles.cos(), angles.sin()], dim=-1)
    return F.pad(embedding, (0, dim % 2))


def group_norm(channels: int, ops: Operations = nn, eps: float = 1e-5) -> nn.Module:
    """GroupNorm with 32 groups, or as many as divide the channels where 32 does not."""
    return ops.GroupNorm(math.gcd(32, channels), channels, eps)


def zero_init(module: nn.Module) -> nn.Module:
    """Sets all parameters to zero, so that a residual branch starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _silu(h: Tensor) -> Tensor:
    """SiLU of a map that nothing else reads; in place where no gradient needs it, which saves a pass over memory."""
    return F.silu(h, inplace=not torch.is_grad_enabled())


class Resample(nn.Module):
    """Doubles (nearest neighbour) or halves (2x2 mean) height and width; no parameters."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        if self.mode == "down":
            return F.avg_pool2d(x, 2)
        return x


class ResBlock(nn.Module):
    """Residual block, [B, in, H, W] -> [B, out, H', W'], conditioned on time and on a latent z.

    With ``time_dim`` None the block has one convolution and takes no condition: the form of the diffusion
    autoencoder's semantic encoder. ``resample`` is "none", "up" or "down" and acts on both branches before the first
    convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        time_dim: int | None = None,
        cond_dim: int | None = None,
        dropout: float = 0.0,
        resample: str = "none",
        operations: Operations = nn,
    ) -> None:
        super().__init__()
        ops = operations
        self.norm_in = group_norm(in_channels, ops)
        self.resample = Resample(resample)
        self.conv_in = ops.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = self.cond = None
        if time_dim is not None:
            self.time = ops.Linear(time_dim, 2 * out_channels)
            self.cond = ops.Linear(cond_dim, out_channels) if cond_dim is not None else None
            self.norm_out = group_norm(out_channels, ops)
            self.dropout = nn.Dropout(dropout)
            self.conv_out = zero_init(ops.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = ops.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(
        self,
        x: Tensor,
        time: Tensor | None = None,
        cond: Tensor | None = None,
        context: Any = None,
        context_mask: Tensor | None = None,
    ) -> Tensor:
        """x [B, in, H, W]; time [B, time_dim]; cond [B, cond_dim]; context is ignored: all blocks are called alike."""
        h = self.conv_in(self.resample(_silu(self.norm_in(x))))
        if self.time is not None:
            scale, shift = self._affine(time, cond)
            # One fused multiply-add for both conditions: on a CPU the passes over h cost as much as a convolution.
            h = torch.addcmul(shift.to(h.dtype), self.norm_out(h), scale.to(h.dtype))
            h = self.conv_out(self.dropout(_silu(h)))
        return self.skip(self.resample(x)) + h

    def _affine(self, time: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        t_scale, t_shift = self.time(F.silu(time))[..., None, None].chunk(2, dim=1)
        if self.cond is None or cond is None:
            return 1 + t_scale, t_shift
        z_scale = 1 + self.cond(F.silu(cond))[..., None, None]
        return (1 + t_scale) * z_scale, t_shift * z_scale


class SelfAttention2d(nn.Module):
    """Residual self-attention over all positions of [B, C, H, W] (Dhariwal & Nichol 2021)."""

    def __init__(self, channels: int, heads: int = 1, operations: Operations = nn, eps: float = 1e-5) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels, operations, eps)
        self.qkv = operations.Conv1d(channels, 3 * channels, 1)
        self.proj = zero_init(operations.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C, H, W]."""
        height = x.shape[2]
        tokens = rearrange(self.norm(x), "b c h w -> b c (h w)")
        # Contiguous: on a CPU torch attends ten times as slowly where a head's numbers lie apart.
        q, k, v = (
            part.contiguous()
            for part in rearrange(self.qkv(tokens), "b (n three d) l -> three b n l d", n=self.heads, three=3)
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        out = self.proj(rearrange(attended, "b n l d -> b (n d) l"))
        return x + rearrange(out, "b c (h w) -> b c h w", h=height)


class CrossAttention2d(nn.Module):
    """Residual attention of all positions of [B, C, H, W] to context tokens [B, N, context_dim].

    The output is initialised with zeros, so that a network that is given the context later starts as it was.
    """

    def __init__(self, channels: int, context_dim: int, heads: int = 1, operations: Operations = nn) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels, operations)
        self.to_q = operations.Linear(channels, channels, bias=False)
        self.to_k = operations.Linear(context_dim, channels, bias=False)
        self.to_v = operations.Linear(context_dim, channels, bias=False)
        self.to_out = zero_init(operations.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """x [B, C, H, W]; context [B, N, context_dim], None: x itself; mask bool [B, N] hides tokens where False."""
        if context is None:
            return x
        height = x.shape[2]
        q = self.to_q(rearrange(self.norm(x), "b c h w -> b (h w) c"))
        q, k, v = (
            rearrange(tokens, "b l (n d) -> b n l d", n=self.heads)
            for tokens in (q, self.to_k(context), self.to_v(context))
        )
        visible = None if mask is None else mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        out = self.to_out(rearrange(attended, "b n l d -> b l (n d)"))
        return x + rearrange(out, "b (h w) c -> b c h w", h=height)
