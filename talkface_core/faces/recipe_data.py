"""Training data of the face nets: pictures of people with their truth, from clips and stills.

A folder holds `<name>.npz` beside `<name>.mp4` or `<name>.jpg`; the npz has `landmarks` [T,68,2] (pixels), `pose` [T,3]
(degrees) and perhaps `mask` [T,H,W] (uint8, 255 where the person covers the background). Where the landmarks are labels
and not the truth, `landmark_weights` [68] says how much each counts in training, 0 to 1; without it all count fully.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arrays import check_landmarks, check_numbers, npz_shapes, read_npz
from ..errors import InputError
from ..media.picture import read_picture
from ..media.video_reader import VideoReader
from ..training.frame_cache import CacheKey, cached_frames, stats
from .landmarks import POINTS

FRAMES_PER_CLIP = {"ada": 2, "voices_crowd": 8}
"""Frames taken of a clip, spread over it, by the name of its set; others give 16."""

SHARES = {"ada": 0.02, "crowd": 0.15, "voices_crowd": 0.1, "portraits": 0.05, "real_faces": 0.3, "puppets": 0.18}
"""How much of the batches a set makes; the sets that are not named share the rest."""


@dataclass(frozen=True)
class FacePictures:
    """N pictures of one or more folders.

    landmarks float32 [N,68,2] in pixels; pose float32 [N,3] in degrees; masked bool [N]: whether the alpha is the
    person's outline (else 255 everywhere); weights float32 [N,68]: how much each landmark counts, 0 to 1; chance
    float64 [N]: of being taken for a batch.
    """

    name: str
    stores: tuple[NDArray[np.uint8], ...]
    landmarks: NDArray[np.float32]
    pose: NDArray[np.float32]
    masked: NDArray[np.bool_]
    weights: NDArray[np.float32]
    chance: NDArray[np.float64]

    @classmethod
    def open(cls, folder: str | Path, cache_dir: str | Path, size: int = 256, quiet: bool = False) -> FacePictures:
        """Read `folder`, its `train`, or the `train` of each folder in it. Raises InputError where nothing is.

        The pictures are decoded once, into one file per folder in `cache_dir`.
        """
        folders = training_folders(Path(folder).absolute())
        parts = [_read(source, Path(cache_dir), size, quiet) for source in folders]
        stores, landmarks, pose, masked, weights = zip(*parts, strict=True)
        names = np.concatenate([np.full(len(p), set_name(f)) for f, p in zip(folders, stores, strict=True)])
        name = ", ".join(sorted(f"{set_name(f)}/{f.name}" for f in folders))
        truth = (np.concatenate(part) for part in (landmarks, pose, masked, weights))
        return cls(name, stores, *truth, _chances(names))

    def __len__(self) -> int:
        return len(self.landmarks)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """A copy of one picture, RGBA uint8 [S,S,4]."""
        for store in self.stores:
            if index < len(store):
                return np.array(store[index])
            index -= len(store)
        raise IndexError(index)


def _read(
    folder: Path, cache_dir: Path, size: int, quiet: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
    """A folder's pictures (a memory map), landmarks, poses, whether they are masked, and the landmarks' weights."""
    paths, most = sorted(folder.glob("*.npz")), FRAMES_PER_CLIP.get(set_name(folder), 16)
    chosen, landmarks, pose, masked, weights = [], [], [], [], []
    for path in paths:
        points, turned = _truth(path)
        rows = spread(len(points), most)
        chosen.append(rows)
        landmarks.append(points[rows].astype(np.float32))
        pose.append(turned[rows].astype(np.float32))
        masked.append(np.full(len(rows), "mask" in npz_shapes(path)))
        weights.append(np.tile(_weights(path), (len(rows), 1)))
    content = [*stats(paths), *(rows.tolist() for rows in chosen)]
    key = CacheKey("pictures", folder, (size,), content)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for path, rows in zip(paths, chosen, strict=True):
            yield from _pictures(path, rows, size)

    shape = (sum(map(len, chosen)), size, size, 4)
    pictures = cached_frames(key, cache_dir, shape, frames, set_name(folder), quiet)
    scale = np.float32(size / _side(paths[0]))
    points = scale * np.concatenate(landmarks)
    return pictures, points, np.concatenate(pose), np.concatenate(masked), np.concatenate(weights)


def _truth(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Landmarks [T,68,2] and poses [T,3]. Raises InputError where they are missing, of other shapes or no numbers."""
    found = read_npz(path, "landmarks", "pose")
    if found.keys() != {"landmarks", "pose"}:
        raise InputError(f"{path}: holds no landmarks, or no pose; leave it out, or write it again with both.")
    for name, array in found.items():
        check_numbers(path, name, array)
    points, pose = found["landmarks"], found["pose"]
    check_landmarks(path, points)
    if pose.shape != (len(points), 3):
        raise InputError(f"{path}: pose {list(pose.shape)} for {len(points)} frames; it is [frames, 3].")
    return points, pose


def _weights(path: Path) -> NDArray[np.float32]:
    """How much each landmark of a file counts [68]: ones where it does not say. Raises InputError for other values."""
    weights = read_npz(path, "landmark_weights").get("landmark_weights")
    if weights is None:
        return np.ones(POINTS, np.float32)
    check_numbers(path, "landmark_weights", weights)
    if weights.shape != (POINTS,) or weights.min() < 0 or weights.max() > 1:
        raise InputError(f"{path}: landmark_weights {list(weights.shape)}; give one per landmark, [68], from 0 to 1.")
    return weights.astype(np.float32)


def training_folders(folder: Path) -> list[Path]:
    """The folders with truth that `folder` stands for."""
    for candidates in (
        [folder],
        [folder / "train"],
        sorted(child / "train" for child in folder.iterdir()) if folder.is_dir() else [],
    ):
        usable = [f for f in candidates if any(f.glob("*.npz"))]
        if usable:
            return usable
    raise InputError(
        f"{folder}: no .npz with the truth of a face in it, its train folder or its folders' train folders."
    )


def set_name(folder: Path) -> str:
    """The set that a split's folder belongs to: crowd for crowd/train."""
    return folder.parent.name if folder.name in ("train", "val") else folder.name


def spread(length: int, most: int) -> NDArray[np.int64]:
    """At most `most` frames of `length`, spread evenly."""
    return np.unique(np.linspace(0, length - 1, min(most, length)).round().astype(np.int64))


def _side(path: Path) -> int:
    still = path.with_suffix(".jpg")
    if still.is_file():
        return len(read_picture(still))
    return VideoReader(path.with_suffix(".mp4")).height


def _pictures(path: Path, chosen: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """The chosen frames [n,size,size,4]."""
    still = path.with_suffix(".jpg")
    if still.is_file():
        frames = [read_picture(still)]
    else:
        wanted, frames, start = set(chosen.tolist()), [], 0
        for chunk in VideoReader(path.with_suffix(".mp4")).chunks(32):
            frames += [frame for k, frame in enumerate(chunk, start) if k in wanted]
            start += len(chunk)
    if len(frames) != len(chosen):
        raise InputError(f"{path}: {len(frames)} of {len(chosen)} frames decode; the truth belongs to another cut.")
    shape = frames[0].shape[:2]
    masks = read_npz(path, "mask").get("mask")
    if masks is not None and (masks.shape[1:] != shape or len(masks) <= chosen.max() or masks.dtype.kind not in "iub"):
        raise InputError(f"{path}: mask {masks.dtype} {list(masks.shape)} for pictures of {list(shape)}; give uint8.")
    masks = np.full((len(frames), *shape), 255) if masks is None else masks[chosen]
    out = np.empty((len(frames), size, size, 4), np.uint8)
    for row, frame, mask in zip(out, frames, masks.astype(np.uint8), strict=True):
        if frame.shape[0] != frame.shape[1]:
            raise InputError(f"{path}: pictures of {frame.shape[1]}x{frame.shape[0]} px; squares are needed.")
        row[:] = cv2.resize(np.dstack([frame, mask]), (size, size), interpolation=cv2.INTER_AREA)
    return out


def _chances(names: NDArray[np.str_]) -> NDArray[np.float64]:
    """Each picture's chance: sets by their share, pictures of a set alike."""
    sets = sorted(set(names.tolist()))
    named = {name: SHARES[name] for name in sets if name in SHARES}
    others = [name for name in sets if name not in SHARES]
    rest = max(1 - sum(named.values()), 0.1)
    shares = {**named, **{name: rest / len(others) for name in others}}
    chance = np.array([shares[name] / np.count_nonzero(names == name) for name in names])
    return chance / chance.sum()
