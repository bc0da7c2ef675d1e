"""Bands of a picture: its lowest cosines, and what lies around Nyquist.

The low band is an orthogonal projection (DCT-II), so that edges need no care.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def low_band(frames: Tensor, share: float) -> Tensor:
    """Orthogonal projection of [B, C, H, W] onto the lowest `share` (0..1) of the cosines along either axis (DCT-II).

    A projection: what has no finer detail passes unchanged, doing it twice changes nothing, no difference grows.
    """
    rows, columns = (_projection(n, round(share * n), frames.device, frames.dtype) for n in frames.shape[-2:])
    if not torch.is_autocast_enabled(frames.device.type):
        return rows @ frames @ columns
    # Rounding to bfloat16 would be seen: this band goes to the picture as it is.
    with torch.autocast(frames.device.type, enabled=False):
        return rows @ frames @ columns


_PROJECTIONS: dict[tuple[Any, ...], Tensor] = {}


def _projection(size: int, lines: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    key = (size, lines, device, dtype)
    if key not in _PROJECTIONS:
        n = torch.arange(size, dtype=torch.float64)
        cosines = torch.cos(torch.pi / size * (n + 0.5) * torch.arange(lines, dtype=torch.float64)[:, None])
        cosines = F.normalize(cosines, dim=1)
        if len(_PROJECTIONS) > 16:
            _PROJECTIONS.clear()
        _PROJECTIONS[key] = (cosines.T @ cosines).to(device, dtype)
    return _PROJECTIONS[key]


def sharpest(frames: Tensor) -> Tensor:
    """What a binomial blur (1, 2, 1) takes away, twice: [B, C, H, W] -> [B, C, H - 4, W - 4].

    Along one axis a quarter is left at half Nyquist's 0.25 cycles a pixel, four fifths at 0.4, a hundredth at 0.1.
    """
    for _ in range(2):
        blurred = F.avg_pool2d(F.avg_pool2d(frames, 2, 1), 2, 1)
        frames = frames[..., 1:-1, 1:-1] - blurred
    return frames
