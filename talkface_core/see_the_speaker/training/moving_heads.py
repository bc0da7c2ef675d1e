"""Heads that move in a crop that stands still, with their true motion: what the renderer trains on.

Of each clip every second frame is cut once and kept; landmarks, poses and gaze of the truth give the motion of `tiny`'s
keypoints (landmark_motion.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.clips import Clip, ClipSet, open_splits
from ...errors import InputError
from ...faces.align import FaceCrop, warp
from ...training.frame_cache import CacheKey, cached_frames, stats
from ..landmark_motion import head_shape, landmark_motion
from ..motion_extractor import Seen
from ..portrait_crop import RAISED, crop_places, portrait_crop

EVERY = 2
"""One frame of so many is kept: neighbours are nearly equal."""

_VERSION = 1
_LOOKS = ("In", "Out", "Up", "Down")


@dataclass(frozen=True)
class MovingHeads:
    """The N kept frames of C clips.

    frames uint8 [N,P,P,3] RGB, P = size + 2 pad; landmarks float32 [N,68,2] in their pixels; seen: of each frame, in
    -1..1 of the inner crop; gazing bool [N]: whether its eyes turn as its gaze says; starts [C + 1]: clip c owns the
    frames starts[c] to starts[c + 1] - 1.
    """

    name: str
    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    seen: Seen
    gazing: NDArray[np.bool_]
    size: int
    pad: int
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frames)


def moving_heads(
    clips: ClipSet,
    size: int,
    reach: float,
    cache_dir: str | Path,
    pad: int = 8,
    every: int = EVERY,
    quiet: bool = False,
) -> MovingHeads:
    """Cut the heads of a set with truth, `size` px square with a margin of `pad`; from the cache where they are there.

    Raises InputError for clips without landmarks or pose.
    """
    truths = [clip.truth() for clip in clips.clips]
    crops = [_crop(clip, truth, size, reach, pad) for clip, truth in zip(clips.clips, truths, strict=True)]
    counts = [len(range(0, clip.frames, every)) for clip in clips.clips]
    side, starts = size + 2 * pad, np.cumsum([0, *counts])
    content = [_VERSION, reach, RAISED, *stats(clips.files)]
    key = CacheKey("heads", clips.folder, (size, pad, every), content)

    def heads() -> Iterator[NDArray[np.uint8]]:
        for clip, crop in zip(clips.clips, crops, strict=True):
            matrix = crop.matrices[0].numpy()
            for number, frame in enumerate(clip.decode()):
                if number % every == 0:
                    yield warp(frame, matrix, side)

    label = f"heads of {clips.name} at {side} px"
    frames = cached_frames(key, cache_dir, (int(starts[-1]), side, side, 3), heads, label, quiet)
    seen = [clip_motion(truth, crop.landmarks - pad, size) for truth, crop in zip(truths, crops, strict=True)]
    parts = (torch.cat([getattr(one, part)[::every] for one in seen]) for part in Seen.__dataclass_fields__)
    landmarks = np.concatenate([crop.landmarks.numpy()[::every] for crop in crops])
    gazing = np.repeat([has_gaze(truth) for truth in truths], counts)
    return MovingHeads(clips.name, frames, landmarks, Seen(*parts), gazing, size, pad, starts)


def open_moving_heads(
    folder: str | Path, size: int, reach: float, cache_dir: str | Path, quiet: bool = False
) -> tuple[MovingHeads, MovingHeads | None]:
    """Those of the set in `folder` to train on, and of its `val` split where it has one."""
    train, val = open_splits(folder)
    data = moving_heads(train, size, reach, cache_dir, quiet=quiet)
    return data, moving_heads(val, size, reach, cache_dir, quiet=quiet) if val else None


def clip_motion(truth: dict[str, Any], landmarks: Tensor, size: int) -> Seen:
    """The motion of all frames of a clip, of its truth and its landmarks [T,68,2] in pixels of the head's crop."""
    points, pose = crop_places(landmarks, size), torch.from_numpy(truth["pose"])
    openings = torch.from_numpy(truth["mouth_open"]) if "mouth_open" in truth else None
    return landmark_motion(points, pose, head_shape(points, pose, openings), true_gaze(truth))


def has_gaze(truth: dict[str, Any]) -> bool:
    """Whether a clip's eyes turn as its weights say: those that are moved portraits, whose points are all named
    visible or none, keep the eyes that they had."""
    return "weights" in truth and "names" in truth and "visible" in truth


def true_gaze(truth: dict[str, Any]) -> Tensor | None:
    """The gaze [T,2,2] of the right and the left eye, to the right of the picture and down, of a clip's weights."""
    if not has_gaze(truth):
        return None
    names = [str(name) for name in truth["names"]]
    inwards, outwards, up, down = (
        np.stack([truth["weights"][:, names.index(f"eyeLook{way}_{side}")] for side in "RL"], 1) for way in _LOOKS
    )
    # The right eye lies on the left of the picture: inwards is to the right for it.
    across = (inwards - outwards) * np.float32([1, -1])
    return torch.from_numpy(np.stack([across, down - up], -1).astype(np.float32))


def _crop(clip: Clip, truth: dict[str, Any], size: int, reach: float, pad: int) -> FaceCrop:
    for name in ("landmarks", "pose"):
        if name not in truth:
            raise InputError(f"{clip.truth_file}: no {name!r} in it, which the motion of heads is computed from.")
    crop = portrait_crop(torch.from_numpy(truth["landmarks"]), (clip.height, clip.width), size, reach)
    matrices = crop.matrices.clone()
    matrices[:, :, 2] += pad
    return FaceCrop(matrices, size + 2 * pad, crop.image_size, crop.landmarks + pad)
