"""TalkFormer: how the denoiser is told where the face's points lie, and shown what the person looks like.

Source: the paper's two alignments (Zhong et al. 2024, arXiv 2408.05416). Motion alignment is cross-attention from the
picture's features to landmarks, differentiable in their coordinates, which a drawn sketch would not be. Reference
alignment is cross-attention that warps reference features implicitly: motion-aligned features ask, reference features
under their own landmarks answer. The paper gives no layout; the embedding of points, the sharing of motion alignment
between target and reference, and the pull towards near points and towards where landmarks say that a place lies in the
reference are ours: with it attention looks near the right place from the first step on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations
from ..diffusion.blocks import ResBlock, group_norm, zero_init
from .warping import pixel_centres, squared_distances

OCTAVES = 6
"""Frequencies of the Fourier features of a coordinate: half a cycle over the crop, and each twice the one before."""

_REACH = 0.08  # how far, by the crop's side, points pull a feature's attention at first


def fourier(places: Tensor) -> Tensor:
    """Coordinates [...,2] in shares of the crop -> [...,2 + 4 OCTAVES]: themselves, sines and cosines, float32."""
    places = places.float()
    scales = math.pi * 2.0 ** torch.arange(OCTAVES, device=places.device, dtype=torch.float32)
    angles = (places[..., None] * scales).flatten(-2)
    return torch.cat([2 * places - 1, angles.sin(), angles.cos()], -1)


FEATURES = 2 + 4 * OCTAVES


@dataclass(frozen=True)
class Motion:
    """Where the points of faces lie: tokens [B,N,D] and coordinates [B,N,2] in shares of the crop."""

    tokens: Tensor
    landmarks: Tensor


@dataclass(frozen=True)
class Condition:
    """What TalkFormer is told; None leaves an alignment out.

    motion: the target's. references: keys and values [B,R L,C] of each of its blocks, one reference after the other.
    near: by the side of a map, what is added to the attention of its pixels to those of the references [B,heads,L,R L].
    """

    motion: Motion | None
    references: tuple[tuple[Tensor, Tensor], ...] | None
    near: Mapping[int, Tensor] = field(default_factory=dict)


class LandmarkTokens(nn.Module):
    """Landmarks [B,N,2] -> `Motion`: an MLP of coordinates, their Fourier features and the point's identity."""

    def __init__(self, points: int, width: int, operations: Operations = nn) -> None:
        super().__init__()
        identity = torch.empty(points, width)
        self.identity = nn.Parameter(identity if identity.is_meta else identity.normal_(std=0.5))
        self.place = operations.Linear(FEATURES, width)
        self.out = operations.Linear(width, width)

    def forward(self, landmarks: Tensor) -> Motion:
        features = fourier(landmarks).to(self.identity.dtype)
        return Motion(self.out(F.silu(self.place(features) + self.identity)), landmarks)


class MotionAlign(nn.Module):
    """M-Align: every place [B,C,H,W] looks at the landmarks and adds what it finds; zero at first."""

    def __init__(self, channels: int, token_dim: int, heads: int, operations: Operations = nn) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels, operations)
        self.position = operations.Linear(FEATURES, channels)
        self.to_q = operations.Linear(channels, channels, bias=False)
        self.to_k = operations.Linear(token_dim, channels, bias=False)
        self.to_v = operations.Linear(token_dim, channels, bias=False)
        self.out = nn.Sequential(
            operations.Linear(2 * channels, channels), nn.SiLU(), zero_init(operations.Linear(channels, channels))
        )
        self.pull = nn.Parameter(torch.tensor(_pulls(heads)))

    def forward(self, h: Tensor, motion: Motion) -> Tensor:
        """h [B,C,H,W]; motion of the same faces."""
        height = h.shape[2]
        places = pixel_centres(height, h.device).flatten(0, 1)
        position = self.position(fourier(places).to(h.dtype))
        x = rearrange(self.norm(h), "b c h w -> b (h w) c") + position
        q, k, v = (
            rearrange(part, "b l (n d) -> b n l d", n=self.heads)
            for part in (self.to_q(x), self.to_k(motion.tokens), self.to_v(motion.tokens))
        )
        near = nearness(self.pull, places[None], motion.landmarks)
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=near.to(q.dtype))
        found = rearrange(found, "b n l d -> b l (n d)")
        moved = self.out(torch.cat([found, x], -1))
        return h + rearrange(moved, "b (h w) c -> b c h w", h=height)


def reference_nearness(places: Tensor, side: int, heads: int) -> Tensor:
    """R-Align's pull of a map of `side` to where landmarks say that its pixels lie in each reference [B,R,L,2]:
    [B,heads,L,R L].

    Not learnt, and without a gradient: attention under a bias that wants one is several times as slow on a CPU.
    """
    there = pixel_centres(side, places.device).flatten(0, 1)
    pull = -0.7 + 2.1 * torch.arange(heads, device=places.device) / max(heads - 1, 1) - 2 * math.log(_REACH)
    near = nearness(pull, places.detach().flatten(0, 1), there[None])
    return rearrange(near, "(b r) n q k -> b n q (r k)", b=len(places))


def _pulls(heads: int) -> list[float]:
    """Per head how strongly near places pull, as a logarithm so that none ever repels; wide and narrow heads."""
    return [-0.7 + 2.1 * n / max(heads - 1, 1) - 2 * math.log(_REACH) for n in range(heads)]


def nearness(pull: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """What is added to the attention of queries [B,Q,2] to keys [B,K,2], both in shares of the crop: [B,heads,Q,K]."""
    return -pull.float().exp()[:, None, None] * squared_distances(queries, keys)[:, None] / 2


class ReferenceAlign(nn.Module):
    """R-Align: motion-aligned features [B,C,H,W] look up reference features and add what they find; zero at first."""

    def __init__(self, channels: int, heads: int, operations: Operations = nn) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_reference = group_norm(channels, operations), group_norm(channels, operations)
        self.position = operations.Linear(FEATURES, channels)
        self.to_q, self.to_k, self.to_v = (operations.Linear(channels, channels, bias=False) for _ in range(3))
        self.to_out = zero_init(operations.Linear(channels, channels))

    def _tokens(self, norm: nn.Module, maps: Tensor) -> Tensor:
        position = self.position(fourier(pixel_centres(maps.shape[2], maps.device).flatten(0, 1)).to(maps.dtype))
        return rearrange(norm(maps), "b c h w -> b (h w) c") + position

    def keys_values(self, aligned: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B,HW,C] of reference features [B,C,H,W]; `aligned` are the same under M-Align with the
        reference's own landmarks."""
        value = rearrange(self.norm_reference(maps), "b c h w -> b (h w) c")
        return self.to_k(self._tokens(self.norm_reference, aligned)), self.to_v(value)

    def forward(self, h: Tensor, keys_values: tuple[Tensor, Tensor], near: Tensor | None = None) -> Tensor:
        """h [B,C,H,W]; keys and values [B,R L,C]; near [B,heads,HW,R L], see `Condition`."""
        height, near = h.shape[2], None if near is None else near.to(h.dtype)
        q, k, v = (
            rearrange(part, "b l (n d) -> b n l d", n=self.heads)
            for part in (self.to_q(self._tokens(self.norm, h)), *(part.to(h.dtype) for part in keys_values))
        )
        found = rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=near), "b n l d -> b l (n d)")
        return h + rearrange(self.to_out(found), "b (h w) c -> b c h w", h=height)


class TalkFormer(nn.Module):
    """Both alignments at one place of the U-Net, number `index` of them; called as the U-Net calls its attentions."""

    def __init__(
        self, index: int, channels: int, level: int, token_dim: int, heads: int, operations: Operations = nn
    ) -> None:
        super().__init__()
        self.index, self.level = index, level
        self.motion = MotionAlign(channels, token_dim, heads, operations)
        self.reference = ReferenceAlign(channels, heads, operations)

    def keys_values(self, maps: Tensor, motion: Motion | None) -> tuple[Tensor, Tensor]:
        """What reference features [B,C,H,W] of this place's level answer, with their own faces' motion."""
        return self.reference.keys_values(maps if motion is None else self.motion(maps, motion), maps)

    def forward(self, h: Tensor, condition: Condition | None = None, mask: Tensor | None = None) -> Tensor:
        """h [B,C,H,W] -> the same shape. `mask` is not used: no landmark is ever missing."""
        if condition is None:
            return h
        h = h if condition.motion is None else self.motion(h, condition.motion)
        if condition.references is None:
            return h
        return self.reference(h, condition.references[self.index], condition.near.get(h.shape[2]))


class ReferenceEncoder(nn.Module):
    """Latents of references [B,C,H,W] -> a map for each level of the U-Net, finest first: its first half without
    time."""

    def __init__(self, latent_channels: int, channels: tuple[int, ...], operations: Operations = nn) -> None:
        super().__init__()
        self.stem = operations.Conv2d(latent_channels, channels[0], 3, padding=1)
        before = (channels[0], *channels[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(
                ResBlock(wide, width, resample="down" if n else "none", operations=operations),
                ResBlock(width, width, operations=operations),
            )
            for n, (wide, width) in enumerate(zip(before, channels, strict=True))
        )

    def forward(self, latents: Tensor) -> list[Tensor]:
        h, maps = self.stem(latents), []
        for level in self.levels:
            h = level(h)
            maps.append(h)
        return maps
