"""Masks of another size than the frames they belong to: scaled where they have the frames' shape, else refused."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError

_SHAPE = 0.02  # difference of the sides' ratio that scaling to whole pixels explains


def fit_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask [H',W'] or [T,H',W'] in 0..1 as float32, of the frames' `size` (height, width).

    Shrinking averages, enlarging is linear. Raises InputError for a mask of another shape, which shows another picture,
    and for one that has no two sides.
    """
    mask = mask.detach().float()
    if mask.ndim not in (2, 3):
        raise InputError(f"a mask of shape {list(mask.shape)}; give [height, width], or one for each frame.")
    (height, width), (rows, columns) = size, mask.shape[-2:]
    if (rows, columns) == (height, width):
        return mask
    fitting = rows * width / height
    if not rows or abs(columns - fitting) > max(1.0, _SHAPE * fitting):
        raise InputError(
            f"a mask of {columns}x{rows} px for frames of {width}x{height}: of another shape it would mark another "
            "place; make it as large as the frames, or of the same proportions."
        )
    kernel = {"mode": "area"} if rows > height else {"mode": "bilinear", "align_corners": False}
    whole = mask[None, None] if mask.ndim == 2 else mask[:, None]
    return F.interpolate(whole, (height, width), **kernel).reshape(*mask.shape[:-2], height, width)
