"""Face tracks: 68 landmarks per frame, where they were detected, interpolation where they were not, smoothing.

Landmarks are in the order of iBUG 300-W (Sagonas et al., 2016), in pixels of the frame; (0, 0) is the top-left corner
of the picture, so the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate, as_rate
from .landmarks import POINTS

# Frames of deviation of the Gaussian at strength 1: wide enough to still a jittery detector at 25 frames per second,
# narrow enough that a nod survives. Strength scales it.
_SIGMA = 2.0

BRIDGED = 0.25
"""Seconds that a face may be out of sight and still counts as there, where its neighbours say it was."""


@dataclass(frozen=True)
class FaceTrack:
    """The landmarks of one face in T frames.

    landmarks [T,68,2] float32, pixels; valid [T] bool, False where a frame showed no face and its landmarks are held
    from its neighbours; size (height, width) of the frames in pixels; fps; cuts: frames, in order, at which a new
    scene begins (frame 0 is not named); readable [T] bool, False where the mouth is hidden, turned away or like none
    that is known (readable.py). Raises InputError for other shapes and for numbers that are not finite.
    """

    landmarks: Tensor
    valid: Tensor
    size: tuple[int, int]
    fps: Fraction
    cuts: tuple[int, ...] = ()
    readable: Tensor = field(default_factory=lambda: torch.tensor(True))

    def __post_init__(self) -> None:
        points = torch.as_tensor(self.landmarks).detach().to("cpu", torch.float32)
        if points.ndim != 3 or points.shape[1:] != (POINTS, 2) or not len(points):
            raise InputError(
                f"landmarks of shape {list(points.shape)}; a face track holds [frames, {POINTS}, 2], x and y in pixels."
            )
        if not torch.isfinite(points).all():
            raise InputError("landmarks hold NaN or infinity; fill frames without a face before making a face track.")
        valid = torch.as_tensor(self.valid).detach().to("cpu", torch.bool)
        if valid.shape != points.shape[:1]:
            raise InputError(f"valid has shape {list(valid.shape)}, the landmarks have {len(points)} frames.")
        readable = torch.as_tensor(self.readable).detach().to("cpu", torch.bool)
        if readable.ndim and readable.shape != points.shape[:1]:
            raise InputError(f"readable has shape {list(readable.shape)}, the landmarks have {len(points)} frames.")
        height, width = (int(side) for side in self.size)
        if min(height, width) < 1:
            raise InputError(f"size {self.size}; give (height, width) of the frames in pixels.")
        cuts = tuple(sorted({int(cut) for cut in self.cuts}))
        if cuts and not 0 < cuts[0] <= cuts[-1] < len(points):
            raise InputError(f"cuts at {list(cuts)}; they lie within frames 1 to {len(points) - 1}.")
        for name, value in {
            "landmarks": points,
            "valid": valid,
            "size": (height, width),
            "fps": as_rate(self.fps),
            "cuts": cuts,
            "readable": readable.expand(len(points)),
        }.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.landmarks)

    @property
    def interpolated(self) -> int:
        """Number of frames whose landmarks are held from their neighbours."""
        return int((~self.valid).sum())

    @property
    def scenes(self) -> tuple[slice, ...]:
        """The frames of each scene, between cuts."""
        edges = (0, *self.cuts, len(self))
        return tuple(slice(a, b) for a, b in pairwise(edges))

    def part(self, start: int, stop: int) -> FaceTrack:
        """The frames start to stop - 1, with the cuts among them."""
        cuts = tuple(cut - start for cut in self.cuts if start < cut < stop)
        now = slice(start, stop)
        return replace(
            self, landmarks=self.landmarks[now], valid=self.valid[now], cuts=cuts, readable=self.readable[now]
        )

    def at(self, frames: Tensor | Sequence[int]) -> FaceTrack:
        """The track in another order of frames, for footage that is looped or reversed; the jumps are cuts."""
        index = torch.as_tensor(frames, dtype=torch.long)
        scene = torch.zeros(len(self), dtype=torch.long)
        for cut in self.cuts:
            scene[cut:] += 1
        far = ((index[1:] - index[:-1]).abs() > 1) | (scene[index[1:]] != scene[index[:-1]])
        cuts = tuple(int(k) + 1 for k in far.nonzero().flatten())
        return replace(
            self, landmarks=self.landmarks[index], valid=self.valid[index], cuts=cuts, readable=self.readable[index]
        )

    def heights(self) -> Tensor:
        """Height of the 68 points' box in each frame, pixels [T]."""
        y = self.landmarks[..., 1]
        return y.amax(1) - y.amin(1)


def in_sight(track: FaceTrack, bridged: float = BRIDGED) -> Tensor:
    """Which frames show the face and a mouth that can be read [T], gaps of up to `bridged` seconds among them.

    Behind a hand or in a scene without the face none is to be painted.
    """
    visible = track.valid & track.readable
    longest = int(bridged * track.fps)
    for scene in track.scenes:
        own = visible[scene]  # a view
        if not own.any():
            continue
        known = [-1, *own.nonzero().flatten().tolist(), len(own)]
        for before, after in pairwise(known):
            if after - before - 1 <= longest:
                own[before + 1 : after] = True
    return visible


def fill(landmarks: Tensor, valid: Tensor, size: tuple[int, int], fps: Rate, cuts: Sequence[int] = ()) -> FaceTrack:
    """A track from landmarks [T,68,2] of which only the valid ones mean anything.

    Gaps are bridged in a straight line between the frames around them, and held at a scene's ends. A scene without any
    face takes the nearest frame's of another scene. Raises InputError when no frame has a face.
    """
    valid = torch.as_tensor(valid, dtype=torch.bool)
    if not valid.any():
        raise InputError(f"no face in any of {len(valid)} frames; use footage that shows a face.")
    points = torch.as_tensor(landmarks, dtype=torch.float32).clone()
    edges = (0, *cuts, len(points))
    everywhere = valid.nonzero().flatten()
    for start, stop in pairwise(edges):
        known = valid[start:stop].nonzero().flatten() + start
        frames = torch.arange(start, stop)
        if len(known) == 0:
            nearest = everywhere[(everywhere - (start + stop - 1) / 2).abs().argmin()]
            points[start:stop] = points[nearest].clone()
            continue
        after = torch.searchsorted(known, frames).clamp(max=len(known) - 1)
        before = (torch.searchsorted(known, frames, right=True) - 1).clamp(min=0)
        a, b = known[before], known[after]
        share = ((frames - a) / (b - a).clamp(min=1)).clamp(0, 1).to(points)[:, None, None]
        points[start:stop] = torch.lerp(points[a], points[b], share)
    return FaceTrack(points, valid, size, as_rate(fps), tuple(cuts))


def smooth(track: FaceTrack, strength: float = 0.5) -> FaceTrack:
    """The track without the detector's jitter: a Gaussian over time, symmetric, so that nothing comes late.

    `strength` 0 changes nothing; 1 is a deviation of 0.08 s. Held frames count a quarter, scene cuts are never
    crossed, and edges are mirrored about their value so that a steady motion is not slowed at the ends.
    """
    if not 0 <= strength < math.inf:
        raise InputError(f"smoothing strength {strength}; give 0 (none) or more, 1 is strong.")
    sigma = _SIGMA * strength * float(track.fps) / 25
    if sigma < 0.05:
        return track
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma) ** 2)
    points = track.landmarks.double().flatten(1).T[:, None]
    weight = torch.where(track.valid, 1.0, 0.25).double()[None, None]
    out = points.clone()
    for scene in track.scenes:
        own, counts = points[..., scene], weight[..., scene]
        reach = min(radius, own.shape[-1] - 1)
        if reach == 0:
            continue
        own, counts = _mirrored(own, reach, odd=True), _mirrored(counts, reach)
        kernel = taps[radius - reach : radius + reach + 1][None, None]
        total = torch.nn.functional.conv1d(own * counts, kernel)
        out[..., scene] = total / torch.nn.functional.conv1d(counts, kernel)
    return replace(track, landmarks=out[:, 0].T.reshape(track.landmarks.shape).float())


def _mirrored(x: Tensor, reach: int, odd: bool = False) -> Tensor:
    """x [..., T] with `reach` frames more at both ends, mirrored; `odd`: turned about the end's value as well."""
    head, tail = x[..., 1 : reach + 1].flip(-1), x[..., -reach - 1 : -1].flip(-1)
    if odd:
        head, tail = 2 * x[..., :1] - head, 2 * x[..., -1:] - tail
    return torch.cat([head, x, tail], -1)
