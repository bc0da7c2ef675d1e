"""Still pictures of faces with landmarks, cut out as the frames of films are: for networks of texture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..arrays import check_landmarks, check_numbers, read_npz
from ..errors import InputError
from ..faces.align import align, warp
from ..faces.track import FaceTrack
from ..media.picture import read_picture

_SUFFIXES = (".jpg", ".jpeg", ".png")
_ANY_RATE = Fraction(25)


@dataclass(frozen=True)
class StillFaces:
    """The aligned faces of N still pictures: frames uint8 [N, size + 2 pad, size + 2 pad, 3] RGB; landmarks float32
    [N,68,2] in their pixels; pad: the margin around the crop proper."""

    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    pad: int = 0


def still_crops(folder: str | Path, size: int) -> NDArray[np.uint8]:
    """The aligned faces [N,size,size,3] RGB of the pictures in a folder: see `still_faces`."""
    return still_faces(folder, size).frames


def still_faces(folder: str | Path, size: int, pad: int = 0) -> StillFaces:
    """The aligned faces of the pictures in a folder, `size` px square with a margin of `pad`.

    Each is `<name>.jpg` or `.png` with `<name>.npz` beside it, whose `landmarks` [1,68,2] are in pixels of the picture.
    Raises InputError for a folder without any, and for landmarks that are none.
    """
    crops = [_crop(picture, points, size, pad) for picture, points in read_stills(folder)]
    frames, landmarks = zip(*crops, strict=True)
    return StillFaces(np.stack(frames), np.stack(landmarks), pad)


def read_stills(folder: str | Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """The pictures of a folder as they are, [H,W,3] RGB, each with its landmarks [68,2]. Files and errors as above."""
    folder = Path(folder).absolute()
    paths = [p for p in sorted(folder.glob("*")) if p.suffix in _SUFFIXES and p.with_suffix(".npz").is_file()]
    if not paths:
        raise InputError(f"{folder}: no picture with an .npz of its landmarks beside it; give a folder that has such.")
    for path in paths:
        labels, picture = path.with_suffix(".npz"), np.ascontiguousarray(read_picture(path)[..., :3])
        points = read_npz(labels, "landmarks").get("landmarks")
        if points is None or points.shape[:1] != (1,):
            found = None if points is None else list(points.shape)
            raise InputError(f"{labels}: landmarks {found}; a still has [1,68,2].")
        check_numbers(labels, "landmarks", points)
        check_landmarks(labels, points)
        yield picture, points[0].astype(np.float32)


def _crop(
    picture: NDArray[np.uint8], points: NDArray[np.float32], size: int, pad: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    height, width = picture.shape[:2]
    track = FaceTrack(torch.from_numpy(points)[None], torch.ones(1, dtype=torch.bool), (height, width), _ANY_RATE)
    crop = align(track, size)
    matrix = crop.matrices.numpy()[0].copy()
    matrix[:, 2] += pad
    return np.asarray(warp(picture, matrix, size + 2 * pad), np.uint8), crop.landmarks.numpy()[0] + np.float32(pad)
