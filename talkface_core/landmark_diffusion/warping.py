"""Warps that landmarks steer: where in a reference picture each pixel of the target lies.

Source: ours, by the interpolation of scattered data of Shepard 1968 (inverse distance weights, here with a soft core as
of Franke 1982). TalkFormer warps implicitly, by attention in the latent space; a beard does not survive a latent of a
sixteenth of the pixels, so the decoder is shown the reference once more, moved to where the landmarks say. All of it is
differentiable in the landmarks of the target.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor

CORE = 0.02
"""Softness of the weights, by the crop's side: within it a landmark's own move counts almost alone."""

_FAR = 4.0  # from the middle of a picture that is two wide: well beyond its edges


def pixel_centres(side: int, device: torch.device | None = None) -> Tensor:
    """The centres of the pixels of a square picture [side,side,2], x and y in shares of it, float32."""
    places = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side
    return torch.stack(torch.meshgrid(places, places, indexing="xy"), -1)


def landmark_flow(target: Tensor, reference: Tensor, side: int) -> Tensor:
    """How far from each pixel of the target its place in the reference lies: [B,side,side,2], in shares of the crop.

    target, reference [B,N,2]: the same points in both, shares of the crop. Where a landmark lies, its own move; between
    them a mean, in which near ones count the more, by the fourth power of the distance.
    """
    target, reference = target.float(), reference.float()
    at = rearrange(pixel_centres(side, target.device), "h w d -> (h w) d")
    weights = (squared_distances(at[None], target) + CORE**2).square().reciprocal()
    moves = einsum(weights, reference - target, "b p n, b n d -> b p d") / weights.sum(-1, keepdim=True)
    return rearrange(moves, "b (h w) d -> b h w d", h=side)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Of each of a [B or 1,P,2] to each of b [B,Q,2], shares of the crop: [B,P,Q], float32."""
    a, b = a.float() - 0.5, b.float() - 0.5  # about the middle, where products lose least
    lengths = a.square().sum(-1)[..., None] + b.square().sum(-1)[:, None]
    return (lengths - 2 * a @ b.mT).clamp(min=0)


def warp(maps: Tensor, flow: Tensor, kernel: str = "bilinear") -> Tensor:
    """Maps [B,C,H,W] looked up where a flow [B,h,w,2] (shares of the crop) says: [B,C,h,w]. Edges repeat.

    kernel: "bilinear", or "bicubic", which keeps more of a picture's texture and may overshoot its range.

    In float32: a bfloat16 grid is an eighth of a pixel coarse, and torch's CPU kernel makes NaN of half-precision maps
    in channels-last order. Where the flow is NaN, so is what is found: the kernel itself would return an edge, and its
    gradient end the process with a segmentation fault.
    """
    side = flow.shape[1]
    grid = 2 * (pixel_centres(side, flow.device) + flow.float()) - 1
    # Beyond the edges all is alike; of places without end the cubic kernel would make NaN.
    found = F.grid_sample(maps.float(), grid.nan_to_num().clamp(-_FAR, _FAR), kernel, "border", align_corners=False)
    nowhere = rearrange(grid.isnan().any(-1), "b h w -> b 1 h w")
    return found.masked_fill(nowhere, float("nan")).to(maps.dtype)


def shrunk(flow: Tensor, side: int) -> Tensor:
    """The same flow [B,h,w,2] on fewer pixels: [B,side,side,2]."""
    if flow.shape[1] == side:
        return flow
    return rearrange(F.adaptive_avg_pool2d(rearrange(flow, "b h w d -> b d h w"), side), "b d h w -> b h w d")


def enlarged(flow: Tensor, side: int) -> Tensor:
    """The same flow [B,h,w,2] on more pixels, linear between them: [B,side,side,2]."""
    grown = F.interpolate(rearrange(flow, "b h w d -> b d h w"), (side, side), mode="bilinear", align_corners=False)
    return rearrange(grown, "b d h w -> b h w d")
