"""A 3 x 3 convolution of maps that were enlarged by repeating pixels, computed on the maps as they were.

Source: ours. Of a map in which every pixel stands r x r times the nine taps of a convolution mostly fall on the same
few pixels: in each axis the first row of a repeated pixel sees the one before and itself, the last one itself and the
next, those between itself alone. So the kernel's taps are summed once, for each of these places, and 4 of 9 products
are left at r = 2, 25 of 144 at r = 4. Equal but for rounding, edges included.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..device import Operations

_FIRST, _BETWEEN, _LAST = ((0,), (1, 2)), ((0, 1, 2),), ((0, 1), (2,))
"""Of the rows of a repeated pixel: which taps fall on the same pixel. The first begins one pixel earlier, the last ends
one pixel later."""


class GrownConvolution(nn.Module):
    """Maps [B,C,H,W] (or volumes [B,C,D,H,W], kernels `depth` deep) -> [B,C',rH,rW]: made of a trained convolution's
    state by `grown_state`, to infer."""

    def __init__(self, inputs: int, outputs: int, growth: int, depth: int | None, operations: Operations = nn) -> None:
        super().__init__()
        self.growth, self.depth = growth, depth
        self.kinds = (_FIRST, _BETWEEN, _LAST) if growth > 2 else (_FIRST, _LAST)

        def part(rows: int, columns: int) -> Any:
            if depth is None:
                return operations.Conv2d(inputs, outputs, (rows, columns))
            return operations.Conv3d(inputs, outputs, (depth, rows, columns), padding=(depth // 2, 0, 0))

        self.parts = nn.ModuleList(part(len(a), len(b)) for a in self.kinds for b in self.kinds)

    def forward(self, x: Tensor) -> Tensor:
        places = [self.kinds.index(_FIRST), *[1] * (self.growth - 2), self.kinds.index(_LAST)]
        made, count = [], len(self.kinds)
        for number, part in enumerate(self.parts):
            (top, bottom), (left, right) = (_margin(self.kinds[k]) for k in divmod(number, count))
            made.append(part(F.pad(x, (left, right, top, bottom))))
        rows = [torch.stack([made[a * count + b] for b in places], -1) for a in places]
        return torch.stack(rows, -3).flatten(-2).flatten(-3, -2)


def _margin(kind: tuple[tuple[int, ...], ...]) -> tuple[int, int]:
    return int(kind is _FIRST), int(kind is _LAST)


def grown_state(net: GrownConvolution, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The state of `net` that computes as a convolution of this kernel [C',C,(D,)3,3] does on enlarged maps."""
    state, pairs = {}, [(a, b) for a in net.kinds for b in net.kinds]
    for number, (a, b) in enumerate(pairs):
        rows = torch.stack([weight[..., list(taps), :].sum(-2) for taps in a], -2)
        state[f"parts.{number}.weight"] = torch.stack([rows[..., list(taps)].sum(-1) for taps in b], -1)
        state[f"parts.{number}.bias"] = bias.clone()
    return state
