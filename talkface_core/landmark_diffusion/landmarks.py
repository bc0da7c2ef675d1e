"""Sets of landmarks by their part: what tells the pose, and what speech moves.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416) completes the upper face's pose landmarks by jaw and lips.
Its predecessor IP_LAP (Zhong et al. 2023) names 131 points of MediaPipe's face mesh, 74 for the pose and 57 for what
is said; the 68 of iBUG (faces/landmarks.py) are divided likewise. Coordinates are shares of the aligned crop
(faces/align.py), in training and in inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..device import to_device
from ..errors import InputError
from ..faces import landmarks as ibug

SYSTEM = "landmark_diffusion"


@dataclass(frozen=True)
class LandmarkSet:
    """A numbering of `count` points: which tell the pose, which are the jaw's and the lips'.

    stable: those of the pose that no expression moves; gaps: pairs of the upper and the lower lip's inner edge that
    face each other. All are places among the points. The first `outer` of the lips are their outer edge, the others
    their inner one; each goes around from a corner over the upper lip to the other corner and back below. sides: how
    far each point of the jaw is painted where the film shows it, whatever is said: beside its ends the film's cheeks
    remain.
    """

    name: str
    count: int
    pose: tuple[int, ...]
    jaw: tuple[int, ...]
    lips: tuple[int, ...]
    stable: tuple[int, ...]
    gaps: tuple[tuple[int, int], ...]
    outer: int
    sides: tuple[float, ...]

    @property
    def content(self) -> tuple[int, ...]:
        """What speech moves: the jaw's points, then the lips'."""
        return self.jaw + self.lips

    def check(self, points: Tensor, axes: int, what: str = "landmarks") -> None:
        """Raises InputError for points that are not [..., count, 2] with so many axes."""
        if points.ndim != axes or tuple(points.shape[-2:]) != (self.count, 2):
            raise InputError(f"{what} of shape {list(points.shape)}; {self.name} has [..., {self.count}, 2].")

    def opening(self, points: Tensor) -> Tensor:
        """Mean distance [...] of the inner lips in points [..., count, 2], in their unit."""
        return self.gap(points).norm(dim=-1).mean(-1)

    def gap(self, points: Tensor) -> Tensor:
        """From the upper to the lower inner lip: [..., pairs, 2] of points [..., count, 2]."""
        upper, lower = zip(*self.gaps, strict=True)
        return pick(points, lower) - pick(points, upper)


def pick(points: Tensor, places: Sequence[int]) -> Tensor:
    """The points [..., P, 2] at some places: [..., len(places), 2]. The host waits for no device."""
    return points.index_select(-2, to_device(torch.tensor(places), points.device))


def _mirrored(*side: float) -> tuple[float, ...]:
    """From one end of the jaw to the chin, and on to the other end."""
    return (*side, *side[-2::-1])


_JAW = tuple(range(3, 14))
_LIPS = tuple(range(48, 68))

IBUG_68 = LandmarkSet(
    "ibug68",
    ibug.POINTS,
    tuple(k for k in range(ibug.POINTS) if k not in _JAW + _LIPS),
    _JAW,
    _LIPS,
    ibug.POSE,
    ibug.INNER_LIP_PAIRS,
    outer=12,
    sides=_mirrored(1.0, 1.0, 0.6, 0.3, 0.0, 0.0),
)
"""The ends of the jaw's line, upper cheeks rather than jaw, belong to the pose."""

MESH_POINTS = (
    # Upper cheeks, right and left brow, ridge and base of the nose, right and left eye: the pose.
    *(162, 127, 234, 93, 323, 454, 356, 389),
    *(70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    *(336, 296, 334, 293, 300, 276, 283, 282, 295, 285),
    *(168, 6, 197, 195, 5),
    *(48, 115, 220, 45, 4, 275, 440, 344, 278),
    *(33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    *(362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382),
    # Jaw, outer and inner lips.
    *(132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361),
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
"""Numbers in MediaPipe's face mesh of the 131 points, in the order in which IP_LAP's networks take them."""


def _places(*numbers: int) -> tuple[int, ...]:
    return tuple(MESH_POINTS.index(number) for number in numbers)


MESH_131 = LandmarkSet(
    "mesh131",
    len(MESH_POINTS),
    tuple(range(74)),
    tuple(range(74, 91)),
    tuple(range(91, 131)),
    _places(*MESH_POINTS[:8], *MESH_POINTS[28:42], 33, 133, 362, 263),
    tuple(zip(_places(82, 13, 312), _places(87, 14, 317), strict=True)),
    outer=20,
    sides=_mirrored(1.0, 1.0, 0.8, 0.5, 0.2, 0.0, 0.0, 0.0, 0.0),
)

SETS = {known.name: known for known in (IBUG_68, MESH_131)}


def landmark_set(name: str) -> LandmarkSet:
    """A set by its name. Raises InputError for a name that is none."""
    if name not in SETS:
        raise InputError(f"landmarks {name[:40]!r} are unknown; choose one of {', '.join(SETS)}.")
    return SETS[name]


def choose_references(points: Tensor, known: LandmarkSet, count: int, usable: Tensor | None = None) -> Tensor:
    """Frames [count] that show how a mouth moves: evenly spaced from the least to the widest open, as in IP_LAP.

    points [T, known.count, 2]; `usable` bool [T] leaves frames out. Fewer frames come several times. Raises InputError
    where none is left.
    """
    frames = torch.arange(len(points)) if usable is None else usable.nonzero()[:, 0]
    if not len(frames):
        raise InputError("no frame shows the face, so there is no reference of its mouth.")
    rising = frames[known.opening(points[frames]).argsort(stable=True)]
    return rising[torch.from_numpy(np.linspace(0, len(rising) - 1, count).round().astype(np.int64))]
