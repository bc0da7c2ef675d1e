"""A face track whose lips and jaw say a sound: what is painted, as something to look at and to change beforehand.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416), completion, between sound and painter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..errors import InputError
from ..faces.align import align
from ..faces.geometry import transform
from ..faces.track import FaceTrack, smooth
from ..media.playback import frame_order
from ..media.source import AudioSource
from ..media.timebase import frame_count
from ..speech.features import FrontEnd
from . import landmarks as sets
from .completion_stream import CompletedLandmarks, CompletionModel

SIDE = 256
"""Of the crops that landmarks are shares of; any would do."""

_AT_ONCE = 50

KNOWN = sets.IBUG_68


def complete_track(
    model: CompletionModel,
    source: AudioSource,
    track: FaceTrack,
    length: str = "bounce",
    strength: float = 1.0,
    smoothing: float = 0.0,
    reference: FaceTrack | None = None,
    encoded: FrontEnd | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceTrack:
    """The track in the order of a film that says the sound (`frame_order` by the rule `length`), jaw and lips as the
    sound has them, all else as it is.

    strength: of the mouth's motion, 0 (at rest) to 2; smoothing: of that motion over time, see `faces.track.smooth`;
    reference: a track of the person that shows how the mouth moves, instead of this one; encoded: an audio encoder's
    features of the sound, for a completion that was trained on them; progress is told how many frames are done, of how
    many. Raises InputError for another strength, and for no sound.
    """
    order = spoken_order(source, track, length)
    crop, played = align(track, SIDE), track.at(order)
    shown = (crop.landmarks / SIDE)[order]
    references = mouth_references(track if reference is None else reference, model.completion.config.references)
    completed = CompletedLandmarks(model, source, shown, played.cuts, references, track.fps, strength, encoded)
    parts = []
    for first in range(0, len(order), _AT_ONCE):
        frames = range(first, min(first + _AT_ONCE, len(order)))
        parts.append(completed.at(frames))
        if progress is not None:
            progress(frames.stop, len(order))
    points = SIDE * torch.cat(parts)
    if smoothing:
        still = smooth(replace(played, landmarks=points, size=(SIDE, SIDE)), smoothing).landmarks
        points[:, list(KNOWN.content)] = still[:, list(KNOWN.content)]
    return with_mouth(played, transform(crop.inverse()[order], points))


def spoken_order(source: AudioSource, track: FaceTrack, length: str) -> Tensor:
    """Of each frame of `complete_track` the track's frame, int64 [T]. Raises InputError for no sound."""
    spoken = frame_count(source.num_samples(), source.sample_rate, track.fps)
    order = torch.from_numpy(frame_order(len(track), spoken, length))
    if not len(order):
        raise InputError("audio is empty: there is nothing to say; choose another part of the sound.")
    return order


def with_mouth(track: FaceTrack, points: Tensor) -> FaceTrack:
    """The track with jaw and lips of points [T,68,2] in its pixels; what says the pose stays to the last digit."""
    wanted = track.landmarks.clone()
    wanted[:, list(KNOWN.content)] = points[:, list(KNOWN.content)].to(wanted)
    return replace(track, landmarks=wanted)


def mouth_references(track: FaceTrack, count: int) -> Tensor:
    """Landmarks [count,68,2] of a track that show how its mouth moves, in shares of the crop."""
    points, usable = align(track, SIDE).landmarks / SIDE, track.valid & track.readable
    usable = usable if usable.any() else torch.ones_like(usable)
    return points[sets.choose_references(points, KNOWN, count, usable)]
