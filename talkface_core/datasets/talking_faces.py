"""Faces that talk, with their sound, as training data of the lip expert and of Wav2Lip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.landmarks import LIP_CENTRES, MOUTH_CORNERS, inner_lip_gap
from ..media.audio import analysis_audio
from ..speech.features import LogMel
from ..speech.wave_augment import NOISES, WaveAugment, noise
from .clips import ClipSet

FPS = 25
SOUND_VERSIONS = 3
"""Of each clip's sound where training varies it: as recorded, and with noises and rooms."""


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


def read_sounds(clips: ClipSet, versions: int = 1, seed: int = 0) -> list[Tensor]:
    """The log-mels of all clips, float16 [versions,S,80]: clean, then in noises and rooms.

    Raises InputError for footage that is not 25 frames per second: lips and sound would be told apart by their rate.
    """
    if clips.fps != Fraction(FPS):
        raise InputError(f"{clips.folder}: {float(clips.fps):g} frames per second; export the clips again at {FPS}.")
    front, augment, rng = LogMel(), WaveAugment(), np.random.default_rng(seed)
    waves = [analysis_audio(clip.audio()).numpy() for clip in clips.clips]
    mels = []
    for wave in waves:
        heard = [wave, *(augment(wave, rng, waves) for _ in range(versions - 1))]
        mels.append(torch.stack([front(torch.from_numpy(w)) for w in heard]).half())
    return mels


def read_speech(clips: ClipSet) -> NDArray[np.bool_] | None:
    """Whether somebody speaks in each of the N frames, where the truth of every clip says so."""
    truths = [clip.truth() if clip.truth_file else {} for clip in clips.clips]
    if any("speech" not in truth for truth in truths):
        return None
    return np.concatenate([np.asarray(truth["speech"], bool) for truth in truths])


def noise_mels(count: int, steps: int, seed: int = 0) -> Tensor:
    """Log-mels of noises of all kinds for `MelAugment`: float32 [count,steps,80]."""
    rng, front = np.random.default_rng(seed), LogMel()
    samples = steps * LogMel.HOP
    made = [noise(NOISES[k % len(NOISES)], samples, rng) for k in range(count)]
    return torch.stack([front(torch.from_numpy(0.1 * wave)) for wave in made])
