"""Sounds with labels: log-mels and what the truth says of mouth, pose, eyes and sounds, for nets that hear.

Voices are sound with labels but no pictures: other people, or the same words in other voices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays import check_numbers, read_npz
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
    column the opening; pose [T, 3] in degrees; eyes [T], 1 open, 0 shut; visemes int64 [T]; speech bool [T].
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


def read_voices(
    folder: str | Path, versions: int = 1, seed: int = 0, taught: Mapping[str, Tensor] | None = None
) -> list[SpeechClip]:
    """Sounds with truth beside them (`<clip>.flac` or `.wav` and `<clip>.npz`), as voices; their latents are what
    `taught` has under their names.

    Raises InputError for a folder without any.
    """
    folder, taught = Path(folder), taught or {}
    paths = _sounds(folder)
    if not paths:
        raise InputError(f"{folder}: no <clip>.flac or .wav with <clip>.npz beside it; give labelled voices.")
    waves = [analysis_audio(load_audio(path)).numpy() for path in paths]
    clips = []
    for path, wave, mels in zip(paths, waves, augmented_mels(waves, versions, seed), strict=True):
        truth = Clip(path.stem, path, path, path.with_suffix(".npz"), 0, 0, 0, Fraction(FPS)).truth()
        frames, latents = frame_count(len(wave), SAMPLE_RATE, FPS), taught.get(path.stem)
        if latents is not None:
            latents = latents[torch.arange(frames).clamp_max(len(latents) - 1)]  # sounds end within a frame
        clips.append(labelled_clip(path.stem, frames, mels, truth, latents))
    return clips


def has_sounds(folder: str | Path) -> bool:
    """Whether there are sounds with an .npz beside them."""
    return bool(_sounds(Path(folder)))


def _sounds(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.glob("*")) if p.suffix in _SOUNDS and p.with_suffix(".npz").is_file()]


def read_taught(folder: str | Path, width: int) -> dict[str, Tensor]:
    """What a better ear heard in sounds, by their names: `features` [T, width] of each `<clip>.npz`, at 25 fps.

    Raises InputError for a folder without any, and for features of another width.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.npz")):
        features = read_npz(path, "features").get("features")
        if features is None:
            continue
        check_numbers(path, "features", features)
        if features.ndim != 2 or features.shape[1] != width or not len(features):
            raise InputError(f"{path}: features {list(features.shape)}; this acoustic model has [frames, {width}].")
        found[path.stem] = torch.from_numpy(np.asarray(features, np.float32))
    if not found:
        raise InputError(f"{folder}: no <clip>.npz with features in it; give what another ear heard in sounds.")
    return found
