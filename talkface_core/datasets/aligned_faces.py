"""The aligned faces of a data set, cut out once: what every network of LaDTalk and the lip expert trains on.

The transform is the one of inference (faces/align.py on a smoothed track), taken from the landmarks of the truth. A
margin of `pad` pixels on each side leaves room for the jitter of augmentation.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from tqdm import tqdm

from ..atomic import whole_file
from ..errors import InputError
from ..faces.align import EYE_LEVEL, MARGIN, FaceCrop, align, warp
from ..faces.track import FaceTrack, smooth
from ..faces.tracking import SMOOTHING
from .clips import Clip, ClipSet, open_splits
from .talking_faces import TalkingFaces, read_sounds, read_speech

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

    def inner_landmarks(self) -> NDArray[np.float32]:
        """The landmarks in pixels of the crops proper [N, 68, 2]."""
        return self.landmarks - np.float32(self.pad)


def face_crops(clips: ClipSet, size: int, cache_dir: str | Path, pad: int = 0, quiet: bool = False) -> FaceCrops:
    """Cut the faces of a set with truth, `size` px square, out of its frames; from the cache where they are there.

    The cache is built once, whole or not at all; its name holds a key of the clips and of the transform's constants.
    Raises InputError for clips without landmarks.
    """
    if pad < 0:
        raise InputError(f"a margin of {pad} px around the crops; give 0 or more.")
    crops = [clip_crop(clip, size, pad) for clip in clips.clips]
    constants = [_VERSION, MARGIN, EYE_LEVEL, SMOOTHING]
    prefix = f"faces-{clips.folder.name}-{_key(str(clips.folder))}-{size}-{pad}"
    target = Path(cache_dir) / f"{prefix}-{_key(json.dumps([constants, *_files(clips)]))}.npy"
    if not target.is_file():
        _build(target, clips, crops, quiet)
        for old in set(target.parent.glob(f"{prefix}-*.npy")) - {target}:
            old.unlink(missing_ok=True)
    frames = np.load(target, mmap_mode="r", allow_pickle=False)
    landmarks = np.concatenate([crop.landmarks.numpy() for crop in crops])
    return FaceCrops(frames, landmarks, size, pad, clips)


def talking_faces(
    clips: ClipSet,
    size: int,
    cache_dir: str | Path,
    pad: int = 12,
    versions: int = 1,
    seed: int = 0,
    quiet: bool = False,
) -> TalkingFaces:
    """The faces of a set with their sound, `versions` times each: see `face_crops` and `read_sounds`.

    The sounds are cached beside the faces.
    """
    crops = face_crops(clips, size, cache_dir, pad, quiet)
    prefix = f"sounds-{clips.folder.name}-{_key(str(clips.folder))}-{versions}-{seed}"
    target = Path(cache_dir) / f"{prefix}-{_key(json.dumps([_VERSION, *_files(clips)]))}.npz"
    if not target.is_file():
        made = read_sounds(clips, versions, seed)
        steps = np.array([mel.shape[1] for mel in made])
        with whole_file(target) as part, part.open("wb") as file:
            np.savez(file, mels=torch.cat(made, 1).numpy(), steps=steps)
    with np.load(target, allow_pickle=False) as file:
        sounds = torch.from_numpy(file["mels"]).split(file["steps"].tolist(), 1)
    return TalkingFaces(clips.name, crops.frames, crops.landmarks, size, pad, clips.starts, sounds, read_speech(clips))


def open_talking_faces(
    folder: str | Path, size: int, cache_dir: str | Path, versions: int = 1, seed: int = 0, quiet: bool = False
) -> tuple[TalkingFaces, TalkingFaces | None]:
    """Those of the set in `folder` to train on, their sound `versions` times each, and of its `val` split, clean."""
    train, val = open_splits(folder)
    data = talking_faces(train, size, cache_dir, versions=versions, seed=seed, quiet=quiet)
    return data, talking_faces(val, size, cache_dir, quiet=quiet) if val else None


def clip_crop(clip: Clip, size: int, pad: int = 0) -> FaceCrop:
    """Where the faces of one clip lie, with `pad` pixels more on each side; the landmarks are those of the truth."""
    truth = clip.truth()
    if "landmarks" not in truth:
        raise InputError(f"{clip.truth_file}: no 'landmarks' in it, so the faces cannot be aligned.")
    points = torch.from_numpy(truth["landmarks"])
    seen = torch.ones(len(points), dtype=torch.bool)
    track = FaceTrack(points, seen, (clip.height, clip.width), clip.fps)
    crop = align(smooth(track, SMOOTHING), size)
    matrices = crop.matrices.clone()
    matrices[:, :, 2] += pad
    moved = torch.einsum("tij,tnj->tni", matrices[:, :, :2], points) + matrices[:, None, :, 2]
    return replace(crop, matrices=matrices, size=size + 2 * pad, landmarks=moved)


def _build(target: Path, clips: ClipSet, crops: list[FaceCrop], quiet: bool) -> None:
    side = crops[0].size
    bar = tqdm(total=len(clips), desc=f"faces of {clips.name} at {side} px", unit="frame", disable=quiet)
    with whole_file(target) as part, bar:
        cache = npy.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(clips), side, side, 3))
        for clip, crop, start in zip(clips.clips, crops, clips.starts, strict=False):
            for k, (frame, matrix) in enumerate(zip(clip.decode(), crop.matrices.numpy(), strict=True)):
                cache[start + k] = warp(frame, matrix, side)
            bar.update(clip.frames)
        cache.flush()
        del cache


def _files(clips: ClipSet) -> list[tuple[str, int, int]]:
    """Names, sizes and times of change of all files of a set."""
    paths = {path for clip in clips.clips for path in (clip.video, clip.sound, clip.truth_file) if path}
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(paths)]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
