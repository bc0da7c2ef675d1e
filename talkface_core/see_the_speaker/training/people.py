"""People to learn portraits of: rendered stills, framed as portraits, with what is known of who they are.

See benchmarks/render_people.py, which makes them. Nobody in such a folder exists, so no portrait made of what was
learned from them can be a real person's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ...arrays import check_landmarks, read_npz
from ...errors import InputError
from ...faces.align import align, warp
from ...faces.track import FaceTrack
from ...media.picture import read_picture
from ...pixels import to_signed
from ..conre import AGES
from ..portrait_space import PortraitSpace, framed

UNKNOWN = -1
"""Stands for an attribute that is not known."""

_SEXES = {"f": 0, "m": 1}
_ANY_RATE = Fraction(25)


@dataclass(frozen=True)
class People:
    """Portraits uint8 [N,S,S,3] RGB of N people; sex and age int64 [N], numbers of `SEXES` and `AGES`; their names."""

    pictures: NDArray[np.uint8]
    sex: NDArray[np.int64]
    age: NDArray[np.int64]
    names: tuple[str, ...]
    folder: str

    def __len__(self) -> int:
        return len(self.pictures)

    def signed(self, index: NDArray[np.integer] | slice | list[int]) -> Tensor:
        """Portraits [n,3,S,S] in -1..1."""
        return signed(torch.from_numpy(self.pictures[index]))


def signed(pictures: Tensor) -> Tensor:
    """Bytes [B,S,S,3] -> [B,3,S,S] in -1..1, in the order that convolutions like."""
    return rearrange(to_signed(pictures), "b h w c -> b c h w").contiguous(memory_format=torch.channels_last)


def read_attributes(labels: Path) -> tuple[int, int]:
    """Sex and age group that a truth's `attributes` (JSON) tell. Raises InputError where they are none."""
    found = read_npz(labels, "attributes").get("attributes")
    try:
        values = json.loads(str(found))
        return _SEXES[values["sex"]], AGES.index(values["age"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{labels}: attributes {str(found)[:80]!r}; expected JSON of a sex and an age group."
        ) from error


def portrait_of(picture: NDArray[np.uint8], landmarks: NDArray[Any], size: int) -> NDArray[np.uint8]:
    """The portrait [size,size,3] in a picture [H,W,3] of somebody with landmarks [68,2]."""
    points = torch.from_numpy(np.asarray(landmarks, np.float32))[None]
    track = FaceTrack(points, torch.ones(1, dtype=torch.bool), (picture.shape[0], picture.shape[1]), _ANY_RATE)
    crop = framed(align(track, size))
    return np.asarray(warp(np.ascontiguousarray(picture[..., :3]), crop.matrices.numpy()[0], size), np.uint8)


def read_portrait(path: Path, size: int) -> NDArray[np.uint8]:
    """The portrait of a still `<name>.jpg` with `<name>.npz` beside it. Raises InputError."""
    labels = path.with_suffix(".npz")
    points = read_npz(labels, "landmarks").get("landmarks")
    if points is None or points.shape[:1] != (1,):
        raise InputError(f"{labels}: landmarks {None if points is None else list(points.shape)}; a still has [1,68,2].")
    check_landmarks(labels, points)
    return portrait_of(read_picture(path), points[0], size)


def read_people(folder: str | Path, size: int) -> People:
    """The people in a folder of stills with landmarks and attributes. Raises InputError for a folder without any."""
    folder = Path(folder).absolute()
    paths = [path for path in sorted(folder.glob("*.jpg")) if path.with_suffix(".npz").is_file()]
    if not paths:
        raise InputError(f"{folder}: no <name>.jpg with <name>.npz beside it; give a folder of rendered people.")
    pictures = np.stack([read_portrait(path, size) for path in paths])
    sex, age = np.array([read_attributes(path.with_suffix(".npz")) for path in paths]).T
    return People(pictures, sex, age, tuple(path.stem for path in paths), folder.name)


def open_people(folder: str | Path, size: int) -> tuple[People, People | None]:
    """The people to train on, and others to look at: of `folder`/train and `folder`/val, or of the folder itself."""
    folder = Path(folder)
    inside = folder / "train"
    val = (inside if inside.is_dir() else folder).parent / "val"
    own = read_people(inside if inside.is_dir() else folder, size)
    return own, read_people(val, size) if val.is_dir() and val != folder else None


@torch.no_grad()
def latents_of(pictures: NDArray[np.uint8], space: PortraitSpace) -> Tensor:
    """The latents of portraits [N,S,S,3], as they are and mirrored, [N,2,C,L,L] on the CPU."""
    parts = []
    for start in range(0, len(pictures), 16):
        part = signed(torch.from_numpy(pictures[start : start + 16]).to(space.mean.device))
        parts.append(torch.stack([space.encode(part), space.encode(part.flip(3))], 1).cpu())
    return torch.cat(parts)
