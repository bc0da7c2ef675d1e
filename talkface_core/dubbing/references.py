"""References of a film's faces: a shut and a wide open mouth from other moments of it (ours).

Published systems show the frame itself (Wav2Lip) or moments taken at random. The frame itself also tells what its mouth
said before, and of an open one traces stay. A shut mouth in like pose tells only what the lips look like, an open one
what is behind them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..faces.align import FaceCrop
from ..faces.landmarks import UPPER_FACE, inner_lip_gap, mouth_opening

SHUT = 0.08
"""Share of a scene's frames that count as its shut mouths."""

WIDE = 0.15
"""Share of a scene's frames that count as its wide open mouths, which show teeth and the inside."""

MOST, MOST_IN_ALL = 12, 400
"""References of one kind of a scene, as different in pose as can be; and of a whole film, whose many scenes have fewer
each, but one at least: they are kept while it is dubbed."""

FAR = 0.08
"""Mean distance of the `UPPER_FACE` points, by the crop's side, from which on a reference does not fit any more."""

ORDINARY = 0.05
"""Opening of a mouth that is neither shut nor wide open, by the face's height."""


def choose_references(
    crop: FaceCrop, usable: NDArray[np.bool_], scenes: Iterable[slice], count: int = 1, away: int = 0
) -> NDArray[np.int64]:
    """For each frame [T] the `count` frames that are shown beside it [T,count]: a shut mouth, then wide open ones.

    The frame itself where no other fits, or it is not `usable` [T]. References are taken within a scene alone: another
    has other light, or another person. None lies nearer than `away` frames, if any other fits.
    """
    points = crop.landmarks.numpy() / crop.size
    gaps, pose = inner_lip_gap(points), points[:, UPPER_FACE]
    chosen, scenes = np.repeat(np.arange(len(points))[:, None], count, 1), list(scenes)
    most = max(1, min(MOST, MOST_IN_ALL // max(count * len(scenes), 1)))
    for scene in scenes:
        own = np.arange(len(points))[scene][usable[scene]]
        if not len(own):
            continue
        for column in range(count):
            wide = gaps[own] >= np.quantile(gaps[own], 1 - WIDE)
            group = own[gaps[own] <= np.quantile(gaps[own], SHUT) if column == 0 else wide]
            kept = farthest_point_sampling(pose[group].reshape(len(group), -1), most)
            candidates = group[kept]
            far = np.stack([np.linalg.norm(pose[own] - pose[k], axis=2).mean(1) for k in candidates])
            far[np.abs(candidates[:, None] - own) < away] = np.inf
            fits = far.min(0) < FAR
            chosen[own[fits], column] = candidates[far.argmin(0)[fits]]
    return chosen


def farthest_point_sampling(points: NDArray[np.floating], most: int) -> NDArray[np.int64]:
    """Up to `most` of points [N,D], each as far as can be from those before (farthest-point sampling), the middle one
    first."""
    middle = np.square(points - points.mean(0)).sum(1).argmin()
    chosen, far = [int(middle)], np.square(points - points[middle]).sum(1)
    while len(chosen) < min(most, len(points)) and far.max() > 0:
        chosen.append(int(far.argmax()))
        far = np.minimum(far, np.square(points - points[chosen[-1]]).sum(1))
    return np.array(chosen)


def likely_references(landmarks: Tensor, count: int = 1) -> Tensor:
    """How likely `choose_references` takes these frames [n], by their landmarks [n,68,2] in any unit: the higher, the
    more. For `MouthModel.rank`."""
    opening = torch.from_numpy(mouth_opening(landmarks.numpy())).double()
    return -opening if count == 1 else (opening - ORDINARY).abs()
