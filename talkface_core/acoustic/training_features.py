"""Features of the acoustic model as training data: computed once, of several variants of each clip's sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..media.timebase import FPS
from ..speech.features import LogMel
from ..speech.mel_augment import MelAugment, noise_mels
from ..speech.vad import GateConfig, open_around
from .model import AcousticModel
from .stream import acoustic_features

VARIANTS = 6
"""Of each clip's sound: as recorded, then with other voices, rooms and noises."""

GATED = 0.6
"""Share of variants in which all but speech is silent, as the voice activity gate makes it."""

_NOISES, _SILENCE = 24, 160


@dataclass(frozen=True)
class HeardFeatures:
    """clips: of each features float16 [V,T,W] at 25 frames per second; silence [W]: in a long silence."""

    clips: Sequence[Tensor]
    silence: Tensor

    def of(self, clip: int, frames: NDArray[np.integer], rng: np.random.Generator, silent: bool = False) -> Tensor:
        """Features [F,W] of frames of a clip, in one of its variants, or of silence; float32."""
        variant = int(rng.integers(len(self.clips[clip])))
        if silent:
            return self.silence.expand(len(frames), -1)
        return self.clips[clip][variant, torch.from_numpy(np.asarray(frames))].float()


@torch.no_grad()
def heard_features(
    acoustic: AcousticModel,
    mels: Sequence[Tensor],
    frames: Sequence[int],
    speech: Sequence[NDArray[np.bool_] | None] | None = None,
    variants: int = 1,
    seed: int = 0,
) -> HeardFeatures:
    """The features of clips, `variants` times each; the first is of the sound as recorded.

    Of each clip: mels [V,S,80], the clean log-mel first; how many frames it has; in which of them somebody speaks,
    where that is known.
    """
    rng = np.random.default_rng(seed)
    augment = replace(MelAugment(), reverb=(0.1, 0.5))
    longest = max((mel.shape[1] for mel in mels), default=1)
    noises = noise_mels(_NOISES, longest, seed) if variants > 1 else None
    clips = []
    for clip, known in enumerate(mels):
        heard = torch.stack([known[n % len(known)].float() for n in range(variants)])
        if noises is not None:
            heard[1:] = augment(heard[1:], rng, noises)
            if speech is not None and (spoken := speech[clip]) is not None:
                gain = gate_gain(spoken, heard.shape[1])
                gated = torch.from_numpy(rng.random(variants) < GATED)[:, None, None]
                heard = torch.where(gated, LogMel.SILENCE + gain * (heard - LogMel.SILENCE), heard)
        features = torch.stack([acoustic_features(acoustic, mel) for mel in heard])
        # Sound may end a little before the pictures.
        features = features[:, torch.arange(int(frames[clip])).clamp_max(features.shape[1] - 1)]
        clips.append(features.half())
    silence = acoustic_features(acoustic, torch.full((_SILENCE, LogMel.dim), LogMel.SILENCE))
    return HeardFeatures(clips, silence[len(silence) // 2])


def gate_gain(speech: NDArray[np.bool_], steps: int) -> Tensor:
    """The gain [S,1] of a gate that knows in which frames somebody speaks."""
    at = torch.arange(steps) * FPS // int(LogMel.rate)
    track = torch.from_numpy(np.asarray(speech, np.float32))[at.clamp_max(len(speech) - 1)]
    return open_around(track[None], GateConfig())[0][:, None]
