"""References that are given: other pictures of the person, instead of the film's own frames.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416) shows its painter a reference frame of the same person from
anywhere. As among a film's own frames (dubbing/references.py), those of a shut and of a wide open mouth are shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..dubbing.references import MOST, SHUT, WIDE, farthest_point_sampling
from ..errors import InputError
from ..faces.align import FaceCrop, align, check_shape, crop_faces
from ..faces.landmarks import UPPER_FACE, inner_lip_gap
from ..faces.track import FaceTrack


@dataclass(frozen=True)
class GivenReferences:
    """Pictures [K,H,W,3], uint8 or 0..1, and where their face is. Raises InputError where they do not belong together,
    and where none shows the face."""

    pictures: Tensor
    track: FaceTrack

    def __post_init__(self) -> None:
        check_shape(self.pictures, self.track.size, len(self.track))
        if not self.track.valid.any():
            raise InputError(f"none of {len(self.track)} reference images shows the face; give others.")

    def crop(self, size: int) -> FaceCrop:
        """Where their faces lie, for a painter of crops of this side."""
        return align(self.track, size)

    def choose(self, own: FaceCrop, points: Tensor, count: int) -> NDArray[np.int64]:
        """The pictures [T,count] for frames with these landmarks [T,68,2] in shares of the crop: of a shut mouth, then
        of wide open ones, the most alike in pose."""
        theirs, wanted = own.landmarks.numpy() / own.size, points.numpy()[:, UPPER_FACE]
        usable = (self.track.valid & self.track.readable).numpy()
        usable = usable if usable.any() else self.track.valid.numpy()
        known, chosen = np.flatnonzero(usable), np.zeros((len(points), count), np.int64)
        gaps = inner_lip_gap(theirs)[known]
        for column in range(count):
            shut, wide = gaps <= np.quantile(gaps, SHUT), gaps >= np.quantile(gaps, 1 - WIDE)
            group = known[shut if column == 0 else wide]
            poses = theirs[group][:, UPPER_FACE]
            kept = farthest_point_sampling(poses.reshape(len(group), -1), MOST)
            far = np.stack([np.linalg.norm(wanted - poses[k], axis=2).mean(1) for k in kept])
            chosen[:, column] = group[kept[far.argmin(0)]]
        return chosen

    def cut(self, own: FaceCrop, wanted: Iterable[int]) -> dict[int, NDArray[np.generic]]:
        """The faces [S,S,3] of some pictures, by their numbers."""
        return {int(k): crop_faces(self.pictures[k : k + 1].cpu(), own.at([k])).numpy()[0] for k in map(int, wanted)}
