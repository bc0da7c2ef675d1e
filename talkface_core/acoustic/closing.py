"""What is heard goes to silence where p, b or m is heard, so that lips shut there.

Source: ours. A network that is not sure of one opens lips a little, the mean of what it holds for possible; in silence
it shuts them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .model import AcousticModel

PRESSED_AT, PRESSED_WIDTH = 0.2, 0.1
"""Of a logistic curve over the probability of p, b or m: where it is a half, and a quarter of one over its slope."""


def hushed(rows: Tensor, quiet: Tensor, acoustic: AcousticModel, most: float) -> Tensor:
    """What is heard in frames, rows [T,C], the nearer to silence `quiet` [C] the likelier p, b or m is said.

    The last values of a row are the features of `acoustic`; most: how far it goes at best, 0 to 1.
    """
    pressed = acoustic.pressed(rows[:, -acoustic.config.width :]).to(rows)
    share = most * torch.sigmoid((pressed - PRESSED_AT) / PRESSED_WIDTH)
    return torch.lerp(rows, quiet.to(rows), share[:, None])
