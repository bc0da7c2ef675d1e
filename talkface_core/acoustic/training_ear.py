"""What an encoder hears in labelled sounds, computed once, and training windows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.labelled_sounds import SpeechClip, read_voices, sound_of, sound_samples
from ..datasets.labels import IGNORE
from ..speech.wave_augment import WaveAugment
from ..speech.whisper_mel import HOP, WhisperFeatures
from .encoded_ear import joined
from .model import AcousticModel
from .stream import acoustic_features

APART = 6400
"""Samples of silence between sounds that share a window, 0.4 s."""


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
    per_frame = int(front.rate / acoustic.config.fps)
    frames = [_frames([steps[k] for steps in heard], clip.frames, per_frame) for k, clip in enumerate(clips)]
    return [_heard_clip(clip, rows, acoustic) for clip, rows in zip(clips, frames, strict=True)]


def packed(front: WhisperFeatures, waves: Sequence[Tensor]) -> list[Tensor]:
    """Steps float16 [S,D] of each wave [n], short ones together in windows; one that fills more is heard alone."""
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
        if len(wave) > front.samples:
            steps[number] = front(wave).half()
            continue
        room = -(-len(wave) // HOP) * HOP
        if together and end + APART + room > front.samples:
            hear()
            together, end = [], 0
        first = end + APART if together else 0
        together.append((number, first))
        end = first + room
    if together:
        hear()
    return steps


@dataclass(frozen=True)
class SoundClip:
    """A sound and its truth, for an encoder that learns too: wave [n] at 16 kHz, and what is wanted of it; nothing is
    heard yet."""

    wave: NDArray[np.float32]
    targets: HeardClip


def read_sounds(folder: str | Path, acoustic: AcousticModel) -> list[SoundClip]:
    """The labelled sounds of a folder (`read_voices`). Raises InputError."""
    folder = Path(folder)
    return [
        SoundClip(sound_samples(sound_of(folder, clip)), _heard_clip(clip, torch.zeros(1, clip.frames, 0), acoustic))
        for clip in read_voices(folder)
    ]


def hear_again(clips: Sequence[SoundClip], front: WhisperFeatures, per_frame: int) -> list[HeardClip]:
    """The same clips, each heard clean, so many steps a frame."""
    steps = packed(front, [torch.from_numpy(clip.wave) for clip in clips])
    return [
        replace(clip.targets, heard=_frames([rows], len(clip.targets), per_frame))
        for clip, rows in zip(clips, steps, strict=True)
    ]


def placed(
    clip: SoundClip, mouths: int, frames: int, samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], dict[str, Tensor]]:
    """A window of so many frames, of `samples` each, and its targets as in `windows`: of a sound that is longer a part,
    else all of it somewhere in silence. mouths: values of a mouth, which may be unknown."""
    spare = frames - len(clip.targets)
    before, first = (int(rng.integers(0, spare + 1)), 0) if spare >= 0 else (0, int(rng.integers(0, 1 - spare)))
    wave = np.zeros(frames * samples, np.float32)
    part = clip.wave[first * samples : (first + frames - before) * samples]
    wave[before * samples : before * samples + len(part)] = part
    return wave, _targets(clip.targets, mouths, first, frames, before)


def windows(clips: Sequence[HeardClip], frames: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """A window of each clip, zero beyond its end: heard [B,T,D]; features [B,T,W]; real [B,T], 1 within the clip; mouth
    [B,T,M] with its weight has_mouth [B,T]; visemes int64 [B,T]."""
    mouths = next((clip.mouth.shape[1] for clip in clips if clip.mouth is not None), 1)
    items: list[dict[str, Tensor]] = []
    for clip in clips:
        first = int(rng.integers(0, max(len(clip) - frames, 0) + 1))
        version = clip.heard[int(rng.integers(len(clip.heard))), first : first + frames].float()
        heard = F.pad(version, (0, 0, 0, frames - len(version)))
        items.append({"heard": heard, **_targets(clip, mouths, first, frames)})
    return {key: torch.stack([item[key] for item in items]) for key in items[0]}


def _targets(clip: HeardClip, mouths: int, first: int, frames: int, before: int = 0) -> dict[str, Tensor]:
    """Of frames `first` on, of which there may be too few, behind `before` empty ones; a mouth has so many values."""
    inside = slice(first, first + frames - before)
    around = (before, frames - before - len(clip.features[inside]))
    rows = (0, 0, *around)
    real = F.pad(torch.ones(frames - sum(around)), around)
    mouth = torch.zeros(frames, mouths) if clip.mouth is None else F.pad(clip.mouth[inside], rows)
    return {
        "features": F.pad(clip.features[inside], rows),
        "real": real,
        "mouth": mouth,
        "has_mouth": real * float(clip.mouth is not None),
        "visemes": F.pad(clip.visemes[inside], around, value=IGNORE),
    }


def _frames(steps: Sequence[Tensor], count: int, per_frame: int) -> Tensor:
    """What an encoder said, in frames [V,T,D]; the last of its rows holds."""
    at = torch.arange(count)
    frames = [joined(rows, per_frame) for rows in steps]
    return torch.stack([rows[at.clamp_max(len(rows) - 1)] for rows in frames])


def _heard_clip(clip: SpeechClip, heard: Tensor, acoustic: AcousticModel) -> HeardClip:
    at = torch.arange(clip.frames)
    features = acoustic_features(acoustic, clip.mels[0].float())
    mouth = clip.mouth
    if mouth is not None:
        fits = mouth.shape[1] == len(acoustic.mouth_mean)
        mouth = (mouth - acoustic.mouth_mean) / acoustic.mouth_std if fits else None
    return HeardClip(
        clip.name,
        heard,
        features[at.clamp_max(len(features) - 1)],
        mouth,
        torch.full((clip.frames,), IGNORE) if clip.visemes is None else clip.visemes,
    )
