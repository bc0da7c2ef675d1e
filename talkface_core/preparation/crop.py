"""The crops of a clip: one fixed square around the head, or each frame aligned.

"head" is one square for the whole clip, as a fixed camera sees the head: the head moves in it, the background stands.
That is what DAE-Talker trains on (head pose is one of its inputs), and what every other recipe can align from by itself
with the landmarks of the truth. "aligned" moves, turns and scales each frame so that eyes and nose stay in place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..faces.align import FaceCrop, align
from ..faces.geometry import transform
from ..faces.track import FaceTrack
from .rules import Rules, Span

FACE_SHARE = 0.46
"""Height of the 68 landmarks' box by the side of a head crop, as in the footage that the bundled weights know."""

_MIDDLE = 0.545  # height of that box's middle in the crop
_FOREHEAD, _SIDES = 0.35, 0.06  # of the box's height above the brows; of its size on the other sides: the head
_CLOSE = 1.25  # how much larger the square of the whole scene may be for the clips of a scene to share it

Square = tuple[int, int, int]
"""Left, top and side in whole pixels of the film."""


def clip_crops(track: FaceTrack, spans: Sequence[Span], scene: NDArray[np.integer], rules: Rules) -> list[FaceCrop]:
    """Where the frames of each clip of a smoothed track lie, with their landmarks in pixels of the crop."""
    if rules.crop == "aligned":
        return [align(track.part(span.start, span.stop), rules.size) for span in spans]
    out = []
    for span, square in zip(spans, head_squares(track, spans, scene), strict=True):
        points = track.landmarks[span.start : span.stop]
        matrix = square_matrix(square, rules.size).expand(len(span), 2, 3)
        out.append(FaceCrop(matrix.float(), rules.size, track.size, transform(matrix, points.double()).float()))
    return out


def head_squares(track: FaceTrack, spans: Sequence[Span], scene: NDArray[np.integer]) -> list[Square]:
    """The square of each clip. Clips of a scene share one where that costs little: their backgrounds then agree."""
    points = track.landmarks.numpy()
    own = [head_square(points[span.start : span.stop], track.size) for span in spans]
    for number in {int(scene[span.start]) for span in spans}:
        members = [k for k, span in enumerate(spans) if scene[span.start] == number]
        frames = np.concatenate([points[spans[k].start : spans[k].stop] for k in members])
        shared = head_square(frames, track.size)
        for k in members:
            if shared[2] <= _CLOSE * own[k][2]:
                own[k] = shared
    return own


def head_square(points: NDArray[np.floating], size: tuple[int, int]) -> Square:
    """The square around a head whose landmarks [T,68,2] are seen in frames of (height, width) `size`.

    The face fills `FACE_SHARE` of it, unless the head moves further than that leaves room for. It lies within the
    frame where the frame is large enough for the landmarks.
    """
    low, high = points.min(1), points.max(1)
    extent = high - low
    head_low = (low - extent * [_SIDES, _FOREHEAD]).min(0)
    head_high = (high + extent * _SIDES).max(0)
    side = max(float(np.median(extent[:, 1])) / FACE_SHARE, float((head_high - head_low).max()))
    inside = min(size)
    if side > inside:  # better a little tight than a frame with made-up edges
        side = max(inside, float((high.max(0) - low.min(0)).max()) * 1.02)
    side = max(round(side), 2)
    middle = (low.min(0) + high.max(0)) / 2
    corner = middle - side * np.array([0.5, _MIDDLE])
    for axis, frame in enumerate((size[1], size[0])):
        # All of the head, if it fits; then all within the frame, if the frame is larger.
        corner[axis] = np.clip(corner[axis], min(head_high[axis] - side, head_low[axis]), head_low[axis])
        if side <= frame:
            corner[axis] = np.clip(corner[axis], 0, frame - side)
    return round(float(corner[0])), round(float(corner[1])), side


def square_matrix(square: Square, size: int) -> Tensor:
    """Film pixels -> pixels of the crop [1,2,3] float64."""
    left, top, side = square
    scale = size / side
    return torch.tensor([[[scale, 0, -left * scale], [0, scale, -top * scale]]], dtype=torch.float64)
