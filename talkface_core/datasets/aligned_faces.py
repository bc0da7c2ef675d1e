"""The aligned faces of a data set, cut out once: what every network of LaDTalk and the lip expert trains on.

The transform is the one of inference (faces/align.py on a smoothed track), taken from the landmarks of the truth. A
margin of `pad` pixels on each side leaves room for the jitter of augmentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..arrays import check_landmarks
from ..errors import InputError
from ..faces.align import EYE_LEVEL, MARGIN, FaceCrop, align, warp
from ..faces.track import FaceTrack, smooth
from ..faces.tracking import SMOOTHING
from ..training.frame_cache import CacheKey, cached_frames, stats
from .clips import Clip, ClipSet

# Goes up when crops come out with other values than before, so that older caches are built anew.
_VERSION = 1


@dataclass(frozen=True)
class FaceCrops:
    """The aligned faces of a ClipSet's N frames.

    frames uint8 [N, size + 2 pad, size + 2 pad, 3] RGB, a read-only memory map; landmarks float32 [N, 68, 2], pixels
    of `frames`, as the truth has them (not smoothed); size: side of the crop proper, which begins at (pad, pad); clips:
    the set, whose `starts`, `clip_of` and `frame_of` hold for these frames too.
    """

    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    size: int
    pad: int
    clips: ClipSet

    def __len__(self) -> int:
        return len(self.frames)

    def inner(self, index: NDArray[np.integer] | slice) -> NDArray[np.uint8]:
        """The crops proper of some frames, without the margin: uint8 [n, size, size, 3]."""
        inside = slice(self.pad, self.pad + self.size)
        return self.frames[index][:, inside, inside]


def face_crops(clips: ClipSet, size: int, cache_dir: str | Path, pad: int = 0, quiet: bool = False) -> FaceCrops:
    """Cut the faces of a set with truth, `size` px square, out of its frames; from the cache where they are there.

    They are cut out once, and again when a file of the set or a constant of the transform is another. Raises InputError
    for clips without landmarks.
    """
    if pad < 0:
        raise InputError(f"a margin of {pad} px around the crops; give 0 or more.")
    crops = [clip_crop(clip, size, pad) for clip in clips.clips]
    key = CacheKey("faces", clips.folder, (size, pad), [_VERSION, MARGIN, EYE_LEVEL, SMOOTHING, *stats(clips.files)])
    side = crops[0].size

    def faces() -> Iterator[NDArray[np.uint8]]:
        for clip, crop in zip(clips.clips, crops, strict=True):
            for frame, matrix in zip(clip.decode(), crop.matrices.numpy(), strict=True):
                yield warp(frame, matrix, side)

    label = f"faces of {clips.name} at {side} px"
    frames = cached_frames(key, cache_dir, (len(clips), side, side, 3), faces, label, quiet)
    landmarks = np.concatenate([crop.landmarks.numpy() for crop in crops])
    return FaceCrops(frames, landmarks, size, pad, clips)


def clip_crop(clip: Clip, size: int, pad: int = 0) -> FaceCrop:
    """Where the faces of one clip lie, with `pad` pixels more on each side; the landmarks are those of the truth."""
    truth = clip.truth()
    if "landmarks" not in truth:
        raise InputError(f"{clip.truth_file}: no 'landmarks' in it, so the faces cannot be aligned.")
    if clip.truth_file is not None:
        check_landmarks(clip.truth_file, truth["landmarks"])
    points = torch.from_numpy(truth["landmarks"])
    valid = torch.ones(len(points), dtype=torch.bool)
    track = FaceTrack(points, valid, (clip.height, clip.width), clip.fps)
    crop = align(smooth(track, SMOOTHING), size)
    matrices = crop.matrices.clone()
    matrices[:, :, 2] += pad
    moved = torch.einsum("tij,tnj->tni", matrices[:, :, :2], points) + matrices[:, None, :, 2]
    return replace(crop, matrices=matrices, size=size + 2 * pad, landmarks=moved)
