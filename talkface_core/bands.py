"""Bands of a picture: its lowest cosines, and what lies around Nyquist.

The low band is an orthogonal projection (DCT-II), so that edges need no care.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .device import without_autocast


def low_band(frames: Tensor, share: float, size: int | None = None, fade: float = 0.0) -> Tensor:
    """Orthogonal projection of [B, C, H, W] onto the lowest `share` (0..1) of the cosines along either axis (DCT-II).

    A projection: what has no finer detail passes unchanged, doing it twice changes nothing, no difference grows.
    `size`: the same cosines, sampled anew, as pictures [B, C, size, size]. `fade`: the share of the lines, the finest,
    that get fainter and fainter; it is no projection then, but edges do not ring.
    """
    height, width = frames.shape[-2:]
    # Rounding to bfloat16 would be seen: this band goes to the picture as it is.
    with without_autocast(frames.device):
        rows = _cosines(height, round(share * height), frames)
        columns = rows if width == height else _cosines(width, round(share * width), frames)
        lines = rows @ frames @ columns.T
        if fade:
            lines = _faded(lines.shape[-2], fade, lines)[:, None] * lines * _faded(lines.shape[-1], fade, lines)
        if size is not None:
            # A cosine of unit norm is fainter the more pixels it has.
            rows, columns = (
                _cosines(size, count, frames) * math.sqrt(size / old)
                for count, old in ((lines.shape[-2], height), (lines.shape[-1], width))
            )
        return rows.T @ lines @ columns


def _faded(lines: int, fade: float, like: Tensor) -> Tensor:
    """Weights [lines] that fall from 1 to 0 as half a cosine over the last `fade` of them."""
    places = (torch.arange(lines, device=like.device, dtype=like.dtype) + 0.5) / lines
    return 0.5 + 0.5 * torch.cos(math.pi * ((places - 1) / fade + 1).clamp(0, 1))


def _cosines(size: int, lines: int, like: Tensor) -> Tensor:
    """The lowest cosines [lines, size], of unit norm.

    They are made anew for each picture, which takes next to no time; a tensor that is kept from one use to the next
    would carry a host's inference mode into a training.
    """
    n, line = (torch.arange(count, device=like.device) for count in (size, lines))
    # A cosine repeats: whole numbers tell exactly where in its period a place lies, whatever the dtype.
    places = (2 * n + 1) * line[:, None] % (4 * size)
    cosines = torch.cos(places.to(like.dtype) * (math.pi / (2 * size))) * math.sqrt(2 / size)
    return torch.cat([cosines[:1] * math.sqrt(1 / 2), cosines[1:]])


def sharpest(frames: Tensor) -> Tensor:
    """What a binomial blur (1, 2, 1) takes away, twice: [B, C, H, W] -> [B, C, H - 4, W - 4].

    Along one axis a quarter is left at half Nyquist's 0.25 cycles a pixel, four fifths at 0.4, a hundredth at 0.1.
    """
    for _ in range(2):
        blurred = F.avg_pool2d(F.avg_pool2d(frames, 2, 1), 2, 1)
        frames = frames[..., 1:-1, 1:-1] - blurred
    return frames
