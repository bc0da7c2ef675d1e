"""The sounds of clips as training data: log-mels, clean and in noises and rooms, and where somebody speaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..media.audio import analysis_audio
from ..speech.features import LogMel
from ..speech.wave_augment import WaveAugment
from .clips import ClipSet

SOUND_VERSIONS = 3
"""Of each clip's sound where training varies it: as recorded, and with noises and rooms."""


def augmented_mels(waves: Sequence[NDArray[np.float32]], versions: int = 1, seed: int = 0) -> list[Tensor]:
    """Of each wave [n] at 16 kHz log-mels float16 [versions, S, 80]: clean, then augmented, with all as babble."""
    front, augment, rng = LogMel(), WaveAugment(), np.random.default_rng(seed)
    mels = []
    for wave in waves:
        variants = [wave, *(augment(wave, rng, waves) for _ in range(versions - 1))]
        mels.append(torch.stack([front(torch.from_numpy(w)) for w in variants]).half())
    return mels


def read_sounds(clips: ClipSet, versions: int = 1, seed: int = 0) -> list[Tensor]:
    """The `augmented_mels` of all clips.

    Raises InputError for footage that is not 25 frames per second: lips and sound would be told apart by their rate.
    """
    clips.check_rate()
    return augmented_mels([analysis_audio(clip.audio()).numpy() for clip in clips.clips], versions, seed)


def read_speech(clips: ClipSet) -> NDArray[np.bool_] | None:
    """Whether somebody speaks in each of the N frames, where the truth of every clip says so."""
    truths = [clip.truth() if clip.truth_file else {} for clip in clips.clips]
    if any("speech" not in truth for truth in truths):
        return None
    return np.concatenate([np.asarray(truth["speech"], bool) for truth in truths])
