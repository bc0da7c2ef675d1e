"""A goal as an artist wants it: how far its mouth opens, how calmly it moves and when, before it is painted.

Source: ours, between completion and painter of landmark diffusion (Zhong et al., arXiv 2408.05416). A mouth is taken
for its rest in the frame's pose (reposing.py) and a motion from there, as the completion itself tells it.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from ..errors import InputError
from ..faces.align import align
from ..faces.geometry import transform
from ..faces.track import FaceTrack, smooth
from .complete_track import KNOWN, SIDE, mouth_references, with_mouth
from .completion_stream import LARGEST_STRENGTH
from .reposing import rest_mouths

LARGEST_SHIFT = 250
"""Frames."""

_REFERENCES, _AT_ONCE = 15, 50


def adjust_mouth(
    track: FaceTrack, rest: FaceTrack | None = None, strength: float = 1.0, smoothing: float = 0.0, shift: int = 0
) -> FaceTrack:
    """The track with another motion of jaw and lips; all else, and all of it where nothing is asked for, is as it was.

    rest: a track of the same person, in which the mouth is shut in some frame, such as the footage's own; None: this
    one. strength: of the motion away from there, 0 (at rest) to 2; smoothing: of the motion over time, as in
    `faces.track.smooth`; shift: frames by which it comes later, or earlier below 0; its first or last frame is held
    where none is left. Raises InputError for numbers beyond these.
    """
    if not 0 <= strength <= LARGEST_STRENGTH:
        raise InputError(f"strength {strength} of the mouth; it lies between 0 and {LARGEST_STRENGTH:g}.")
    if abs(shift) > LARGEST_SHIFT:
        raise InputError(f"shift {shift} of the mouth; it lies between {-LARGEST_SHIFT} and {LARGEST_SHIFT} frames.")
    if strength == 1 and not smoothing and not shift:
        return track
    crop = align(track, SIDE)
    points, content = crop.landmarks / SIDE, list(KNOWN.content)
    references = mouth_references(track if rest is None else rest, _REFERENCES)[None]
    # In parts: of each frame all references are re-posed.
    still = torch.cat([rest_mouths(part[None], references, KNOWN)[0] for part in points.split(_AT_ONCE)])
    motion = torch.zeros_like(points)
    motion[:, content] = points[:, content] - still
    if smoothing:
        motion = smooth(replace(track, landmarks=motion), smoothing).landmarks
    when = (torch.arange(len(track)) - shift).clamp(0, len(track) - 1)
    points[:, content] = still + strength * motion[when][:, content]
    return with_mouth(track, transform(crop.inverse(), SIDE * points))
