"""Squares cut of pictures about mouth, eyes or anywhere: where a network learns texture, at a part of the price."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from .landmarks import EYES, MOUTH

_AWAY = 0.25
"""How far a square's middle lies from that of mouth or eyes at most, by its side."""


def draw_corners(
    landmarks: NDArray[np.floating],
    count: int,
    side: int,
    size: int,
    mouth: float,
    eyes: float,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Corners [B, count, 2] (x, y) of squares of `side` pixels within pictures [B] of `size`, whose landmarks
    [B, 68, 2] are in their pixels: shares `mouth` and `eyes` of them lie about these, the others anywhere."""
    kind = rng.random((len(landmarks), count, 1))
    corners = rng.uniform(0, size - side, (len(landmarks), count, 2))
    away = rng.uniform(-_AWAY, _AWAY, corners.shape) * side
    for which, place in ((kind < mouth + eyes, EYES), (kind < mouth, MOUTH)):
        corners = np.where(which, landmarks[:, None, place].mean(2) - side / 2 + away, corners)
    return corners.round().clip(0, size - side).astype(np.int64)


def squares(pictures: Tensor, corners: Tensor, side: int) -> Tensor:
    """Squares [B N, C, side, side] of pictures [B, C, H, W] with corners int64 [B, N, 2] (x, y) in their pixels."""
    within = torch.arange(side, device=corners.device)
    x, y = (corners[..., axis, None] + within for axis in (0, 1))
    which = torch.arange(len(pictures), device=corners.device)[:, None, None, None]
    return rearrange(pictures[which, :, y[..., :, None], x[..., None, :]], "b n h w c -> (b n) c h w")
