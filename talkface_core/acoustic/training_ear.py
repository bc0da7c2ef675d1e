"""What an encoder hears in labelled sounds, computed once, and training windows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.labelled_sounds import SpeechClip, read_voices, sound_of, sound_samples
from ..datasets.labels import IGNORE
from ..speech.wave_augment import WaveAugment
from ..speech.whisper_mel import HOP, SAMPLES, WhisperFeatures
from .encoded_ear import joined
from .model import AcousticModel
from .stream import acoustic_features

APART = 6400
"""Samples of silence between sounds that share a half minute, 0.4 s."""


@dataclass(frozen=True)
class HeardClip:
    """One clip of T frames: heard float16 [V,T,D], the encoder's frames of its sound as recorded and with noises and
    rooms; features [T,W] that the acoustic model has of the first; mouth [T,M] by the acoustic model's mean and
    deviation, or None; visemes int64 [T], `IGNORE` where unknown."""

    name: str
    heard: Tensor
    features: Tensor
    mouth: Tensor | None
    visemes: Tensor

    def __len__(self) -> int:
        return len(self.features)


def hear_voices(
    folder: str | Path, front: WhisperFeatures, acoustic: AcousticModel, versions: int = 1, seed: int = 0
) -> list[HeardClip]:
    """The labelled sounds of a folder (`read_voices`), heard by an encoder `versions` times each. Raises InputError."""
    folder = Path(folder)
    clips = read_voices(folder)
    waves = [sound_samples(sound_of(folder, clip)) for clip in clips]
    augment, rng = WaveAugment(), np.random.default_rng(seed)
    heard = []
    for version in range(versions):
        changed = waves if not version else [augment(wave, rng, waves) for wave in waves]
        heard.append(packed(front, [torch.from_numpy(wave) for wave in changed]))
    return [_heard_clip(clip, [steps[k] for steps in heard], front, acoustic) for k, clip in enumerate(clips)]


def packed(front: WhisperFeatures, waves: Sequence[Tensor]) -> list[Tensor]:
    """Steps float16 [S,D] of each wave [n], short ones together in half minutes; one that fills more is heard alone."""
    steps: list[Tensor] = [torch.zeros(0, front.dim)] * len(waves)
    together: list[tuple[int, int]] = []
    end = 0

    def hear() -> None:
        sound = torch.zeros(end)
        for number, first in together:
            sound[first : first + len(waves[number])] = waves[number]
        rows = front.window(sound)
        for number, first in together:
            count = -(-len(waves[number]) // HOP)
            steps[number] = rows[first // HOP : first // HOP + count].half()

    for number, wave in enumerate(waves):
        if len(wave) > SAMPLES:
            steps[number] = front(wave).half()
            continue
        room = -(-len(wave) // HOP) * HOP
        if together and end + APART + room > SAMPLES:
            hear()
            together, end = [], 0
        first = end + APART if together else 0
        together.append((number, first))
        end = first + room
    if together:
        hear()
    return steps


def windows(clips: Sequence[HeardClip], frames: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """A window of each clip, zero beyond its end: heard [B,T,D]; features [B,T,W]; real [B,T], 1 within the clip; mouth
    [B,T,M] with its weight has_mouth [B,T]; visemes int64 [B,T]."""
    mouths = next((clip.mouth.shape[1] for clip in clips if clip.mouth is not None), 1)
    items: list[dict[str, Tensor]] = []
    for clip in clips:
        first = int(rng.integers(0, max(len(clip) - frames, 0) + 1))
        inside = slice(first, first + frames)
        rest = frames - len(clip.features[inside])
        real = F.pad(torch.ones(frames - rest), (0, rest))
        mouth = torch.zeros(frames, mouths) if clip.mouth is None else F.pad(clip.mouth[inside], (0, 0, 0, rest))
        items.append(
            {
                "heard": F.pad(clip.heard[int(rng.integers(len(clip.heard))), inside].float(), (0, 0, 0, rest)),
                "features": F.pad(clip.features[inside], (0, 0, 0, rest)),
                "real": real,
                "mouth": mouth,
                "has_mouth": real * float(clip.mouth is not None),
                "visemes": F.pad(clip.visemes[inside], (0, rest), value=IGNORE),
            }
        )
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def _heard_clip(
    clip: SpeechClip, steps: Sequence[Tensor], front: WhisperFeatures, acoustic: AcousticModel
) -> HeardClip:
    per_frame = int(front.rate / acoustic.config.fps)
    at = torch.arange(clip.frames)
    frames = [joined(rows, per_frame) for rows in steps]
    features = acoustic_features(acoustic, clip.mels[0].float())
    mouth = clip.mouth
    if mouth is not None:
        fits = mouth.shape[1] == len(acoustic.mouth_mean)
        mouth = (mouth - acoustic.mouth_mean) / acoustic.mouth_std if fits else None
    return HeardClip(
        clip.name,
        torch.stack([rows[at.clamp_max(len(rows) - 1)] for rows in frames]),
        features[at.clamp_max(len(features) - 1)],
        mouth,
        torch.full((clip.frames,), IGNORE) if clip.visemes is None else clip.visemes,
    )
