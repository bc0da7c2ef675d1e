"""Sounds with labels: log-mels and what the truth says of mouth, pose, eyes and sounds, for nets that hear.

Voices are sound with labels but no pictures: other people, or the same words in other voices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.audio import analysis_audio, load_audio
from ..media.timebase import FPS, SAMPLE_RATE, frame_count
from .clips import Clip
from .labels import eye_track, mouth_targets, viseme_track
from .sounds import augmented_mels

_SOUNDS = (".flac", ".wav")


@dataclass(frozen=True)
class SpeechClip:
    """One clip of T frames at 25 fps; what is not known is None.

    mels [V, S, 80] float16, the clean log-mel first, then V-1 augmented ones; latents [T, Z]; mouth [T, M], its last
    column the opening; pose [T, 3] in degrees; eyes [T], 1 open, 0 shut; visemes int64 [T]; speech bool [T]; by_ear
    [E, T, W] float16, features that an ear has of several versions of the sound.
    """

    name: str
    frames: int
    mels: Tensor
    latents: Tensor | None = None
    mouth: Tensor | None = None
    pose: Tensor | None = None
    eyes: Tensor | None = None
    visemes: Tensor | None = None
    speech: Tensor | None = None
    by_ear: Tensor | None = None


def labelled_clip(
    name: str, frames: int, mels: Tensor, truth: Mapping[str, Any], latents: Tensor | None = None
) -> SpeechClip:
    """A clip from its sound and truth. Tracks of another length than its number of frames are left out."""

    def track(*keys: str) -> NDArray[Any] | None:
        return next((truth[k] for k in keys if k in truth and len(truth[k]) == frames), None)

    mouth, pose, eyes, speech = mouth_targets(truth), track("pose"), track("eye_open"), track("voice_speech", "speech")
    return SpeechClip(
        name=name,
        frames=frames,
        mels=mels,
        latents=latents,
        mouth=torch.from_numpy(mouth) if mouth is not None and len(mouth) == frames else None,
        pose=None if pose is None else torch.from_numpy(np.asarray(pose, np.float32)),
        eyes=None if eyes is None else eye_track(eyes),
        visemes=viseme_track(truth["phonemes"], frames) if "phonemes" in truth else None,
        speech=None if speech is None else torch.from_numpy(np.asarray(speech, bool)),
    )


def read_voices(folder: str | Path, versions: int = 1, seed: int = 0) -> list[SpeechClip]:
    """Sounds with truth beside them (`<clip>.flac` or `.wav` and `<clip>.npz`), as voices: their latents are None.

    Raises InputError for a folder without any.
    """
    folder = Path(folder)
    paths = _sounds(folder)
    if not paths:
        raise InputError(f"{folder}: no <clip>.flac or .wav with <clip>.npz beside it; give labelled voices.")
    waves = [sound_samples(path) for path in paths]
    clips = []
    for path, wave, mels in zip(paths, waves, augmented_mels(waves, versions, seed), strict=True):
        truth = Clip(path.stem, path, path, path.with_suffix(".npz"), 0, 0, 0, Fraction(FPS)).truth()
        clips.append(labelled_clip(path.stem, frame_count(len(wave), SAMPLE_RATE, FPS), mels, truth))
    return clips


def read_unlabelled(folder: str | Path, versions: int = 1, seed: int = 0) -> list[SpeechClip]:
    """All sounds of a folder and of those in it, of which nothing is known, by their path in it.

    Raises InputError for a folder without any.
    """
    folder = Path(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in _SOUNDS]
    if not paths:
        raise InputError(f"{folder}: holds no .flac or .wav, nor do the folders in it.")
    waves = [sound_samples(path) for path in paths]
    return [
        SpeechClip(path.relative_to(folder).as_posix(), frame_count(len(wave), SAMPLE_RATE, FPS), mels)
        for path, wave, mels in zip(paths, waves, augmented_mels(waves, versions, seed), strict=True)
    ]


def sound_of(folder: str | Path, clip: SpeechClip) -> Path:
    """The file of a clip that was read from a folder of sounds."""
    found = (Path(folder) / f"{clip.name}{suffix}" for suffix in ("", *_SOUNDS))
    return next(path for path in found if path.is_file())


def sound_samples(path: Path) -> NDArray[np.float32]:
    """Samples [n] at 16 kHz of a sound's file."""
    return analysis_audio(load_audio(path)).numpy()


def voice_waves(folder: str | Path, clips: Sequence[SpeechClip]) -> Iterator[NDArray[np.float32]]:
    """The sounds [n] at 16 kHz of clips that were read from a folder, each when it is asked for."""
    return (sound_samples(sound_of(folder, clip)) for clip in clips)


def _sounds(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob("*")) if p.suffix in _SOUNDS and p.with_suffix(".npz").is_file()]
