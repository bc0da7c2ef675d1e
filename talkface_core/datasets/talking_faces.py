"""Talking faces: aligned faces with their sound, as training data of the lip expert and of Wav2Lip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.landmarks import LIP_CENTRES, MOUTH_CORNERS, inner_lip_gap
from ..training.frame_cache import CacheKey, cached_file, stats
from .aligned_faces import face_crops
from .clips import ClipSet, open_splits
from .sounds import read_sounds, read_speech

# Goes up when sounds come out with other values than before, so that older caches are built anew.
_SOUNDS = 1


@dataclass(frozen=True)
class TalkingFaces:
    """The N aligned faces of C clips at 25 frames per second, and what each clip sounds like.

    name: the data set's; frames uint8 [N, size + 2 pad, size + 2 pad, 3] RGB; landmarks float32 [N,68,2] in their
    pixels; size, pad: side of the crop proper and margin around it; starts [C + 1]: clip c owns the frames starts[c]
    to starts[c + 1] - 1; mels: of each clip float16 [V,S,80], the clean log-mel first; speech bool [N] or None.
    """

    name: str
    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    size: int
    pad: int
    starts: NDArray[np.int64]
    mels: Sequence[Tensor]
    speech: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if len(self.mels) != len(self.starts) - 1 or self.starts[-1] != len(self.frames):
            raise InputError(f"{self.name}: {len(self.mels)} sounds for {len(self.starts) - 1} clips of faces.")

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each clip [C]."""
        return np.diff(self.starts)

    def clip(self, index: int) -> slice:
        """The frames of a clip."""
        return slice(int(self.starts[index]), int(self.starts[index + 1]))

    def inner(self, frames: slice | NDArray[np.integer]) -> NDArray[np.uint8]:
        """The crops proper of some frames: uint8 [n,size,size,3]."""
        inside = slice(self.pad, self.pad + self.size)
        return np.asarray(self.frames[frames][:, inside, inside])


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
    key = CacheKey("sounds", clips.folder, (versions, seed), [_SOUNDS, *stats(clips.files)])

    def write(part: Path) -> None:
        mels = read_sounds(clips, versions, seed)
        with part.open("wb") as file:
            np.savez(file, mels=torch.cat(mels, 1).numpy(), steps=np.array([mel.shape[1] for mel in mels]))

    with np.load(cached_file(key, cache_dir, ".npz", write), allow_pickle=False) as file:
        sounds = torch.from_numpy(file["mels"]).split(file["steps"].tolist(), 1)
    return TalkingFaces(clips.name, crops.frames, crops.landmarks, size, pad, clips.starts, sounds, read_speech(clips))


def open_talking_faces(
    folder: str | Path, size: int, cache_dir: str | Path, versions: int = 1, seed: int = 0, quiet: bool = False
) -> tuple[TalkingFaces, TalkingFaces | None]:
    """Those of the set in `folder` to train on, their sound `versions` times each, and of its `val` split, clean."""
    train, val = open_splits(folder)
    data = talking_faces(train, size, cache_dir, versions=versions, seed=seed, quiet=quiet)
    return data, talking_faces(val, size, cache_dir, quiet=quiet) if val else None


def lip_shapes(data: TalkingFaces) -> NDArray[np.float32]:
    """How the lips stand in each frame: inner gap, outer height and width [N,3], in deviations of their clip.

    So that a person's own lips, which no sound tells of, do not count.
    """
    points = data.landmarks
    height, width = (np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in (LIP_CENTRES, MOUTH_CORNERS))
    shapes = np.stack([inner_lip_gap(points), height, width], 1)
    for clip in range(len(data.lengths)):
        own = shapes[data.clip(clip)]
        shapes[data.clip(clip)] = (own - own.mean(0)) / (own.std(0) + 1e-2)
    return shapes.clip(-4, 4).astype(np.float32)
