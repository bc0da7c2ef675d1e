"""Even sides: H.264's usual format has none that are odd, so frames of a video grow by a repeated row or column.

The top-left corner stays where it is, and so do all landmarks and crops: a track of the frames as they were is a track
of the grown ones.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor

from .align import FaceCrop
from .track import FaceTrack

Where = TypeVar("Where", FaceTrack, FaceCrop)


def size_of(frames: Tensor) -> tuple[int, int]:
    """(height, width) of frames [T,H,W,C]."""
    return int(frames.shape[1]), int(frames.shape[2])


def even_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width), each made even by one more where it is odd."""
    height, width = size
    return height + height % 2, width + width % 2


def grow_even(frames: Tensor) -> Tensor:
    """Frames [T,H,W,C] with their last row or column once more where their number is odd; even ones as they are."""
    height, width = even_size(size_of(frames))
    down, right = height - frames.shape[1], width - frames.shape[2]
    if not down + right:
        return frames
    return F.pad(frames.movedim(-1, 1), (0, right, 0, down), mode="replicate").movedim(1, -1)


def on_frames(where: Where, size: tuple[int, int]) -> Where:
    """A track or crop for frames of `size`, where these are its own frames grown by `grow_even`; else as it is."""
    own = where.size if isinstance(where, FaceTrack) else where.image_size
    if own == size or even_size(own) != size:
        return where
    return replace(where, size=size) if isinstance(where, FaceTrack) else replace(where, image_size=size)
