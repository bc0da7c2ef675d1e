"""What Wav2Lip's two ears hear in talking faces, computed once: training data of the recipe `wav2lip-hearing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..acoustic.hearing import OutsideEar
from ..acoustic.model import AcousticModel
from ..acoustic.training_by_ear import clip_waves, hear_sounds, with_ear
from ..acoustic.training_features import heard_features
from ..datasets.clips import open_splits
from ..datasets.talking_faces import TalkingFaces, lip_shapes
from ..media.timebase import FPS
from ..speech.mel_windows import mel_windows
from .wav2lip import Wav2Lip


@dataclass(frozen=True)
class HeardLips:
    """Of each clip: features float16 [V,T,W], the former ear's vectors [T,D], lips [T,3]; features of silence [W]."""

    features: list[Tensor]
    vectors: list[Tensor]
    lips: list[Tensor]
    silence: Tensor


@torch.no_grad()
def hear_lips(
    data: TalkingFaces,
    former: Wav2Lip,
    acoustic: AcousticModel,
    variants: int,
    seed: int,
    by_ear: Sequence[Tensor] = (),
) -> HeardLips:
    """What both hear in a set, and the lips' shapes in it."""
    count, shapes = range(len(data.mels)), lip_shapes(data)
    features = heard_features(acoustic, data.mels, data.lengths.tolist(), _speech(data), variants, seed)
    if by_ear:
        features = with_ear(features, by_ear)
    vectors = []
    for mel, length in zip(data.mels, data.lengths.tolist(), strict=True):
        windows = mel_windows(mel[0].float(), range(length), FPS, former.config.mel_shift)
        vectors.append(former.encode_speech(windows).flatten(1).half())
    lips = [torch.from_numpy(shapes[data.clip(c)]) for c in count]
    return HeardLips(list(features.clips), vectors, lips, features.silence)


def lips_by_ear(
    ear: OutsideEar, acoustic: AcousticModel, folder: str | Path, data: TalkingFaces, seed: int
) -> list[Tensor]:
    """What an ear hears in the clips of a set."""
    waves = clip_waves(open_splits(folder)[0])
    return hear_sounds(ear, acoustic, waves, data.lengths.tolist(), _speech(data), seed=seed)


def _speech(data: TalkingFaces) -> list[NDArray[np.bool_]] | None:
    """In which frames of each clip somebody speaks."""
    return None if data.speech is None else [data.speech[data.clip(c)] for c in range(len(data.mels))]


def joined(sets: Sequence[HeardLips]) -> HeardLips:
    """The clips of several sets, one after the other."""
    features, vectors, lips = (
        [clip for one in sets for clip in getattr(one, name)] for name in ("features", "vectors", "lips")
    )
    return HeardLips(features, vectors, lips, sets[0].silence)
