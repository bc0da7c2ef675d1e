"""Voices to learn from: log-mels as recorded, in rooms and noises, and what is known of who speaks.

Augmentation leaves pitch and formants alone: they are what tells a voice's sex and age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...arrays import read_npz
from ...datasets.sounds import augmented_mels
from ...errors import InputError
from ...media.audio import analysis_audio, load_audio
from ...media.timebase import FPS
from ...speech.features import LogMel
from ...speech.mel_augment import MelAugment
from ...speech.vad import GateConfig, open_around
from .people import UNKNOWN, read_attributes, read_portrait

AUGMENT = replace(MelAugment(), warp=0.0, blur=0.0, mask_bands=6, telephone=0.1, snr=(5.0, 40.0))
"""What happens to a log-mel besides: neither formants nor harmonics are moved."""

GATED = 0.5
"""Share of the sounds in which all but speech is silent, as the voice activity gate makes it."""

_SOUNDS = (".flac", ".wav")
_SPEECH = ("voice_speech", "speech")


@dataclass(frozen=True)
class Voice:
    """One recording: mels float16 [V,S,80], the clean one first; gain float32 [S] of a gate that knows where speech is
    (None: not known); sex and age group, `UNKNOWN` where the truth does not tell; the speaker's own portrait uint8
    [P,P,3], where there is one."""

    name: str
    mels: Tensor
    gain: Tensor | None
    sex: int
    age: int
    portrait: NDArray[np.uint8] | None = None

    def cut(self, steps: int, rng: np.random.Generator) -> Tensor:
        """A stretch [steps,80] of one of its mels, float32; what is too short is repeated."""
        mel = self.mels[int(rng.integers(len(self.mels)))].float()
        if self.gain is not None and rng.random() < GATED:
            mel = LogMel.SILENCE + self.gain[:, None] * (mel - LogMel.SILENCE)
        start = int(rng.integers(max(len(mel) - steps, 0) + 1))
        return mel[(start + torch.arange(steps)) % len(mel)]


def read_voices(
    folder: str | Path, versions: int = 1, seed: int = 0, age_known: bool = True, portraits: int = 0
) -> list[Voice]:
    """The voices in a folder of `<clip>.flac` or `.wav` with `<clip>.npz` beside them.

    age_known: whether the attributes' age group is the speaker's, not only that of who was drawn to the voice;
    portraits: side of the speakers' own, of stills beside the sound (0: they are left out). Raises InputError.
    """
    folder = Path(folder).absolute()
    paths = [p for p in sorted(folder.glob("*")) if p.suffix in _SOUNDS and p.with_suffix(".npz").is_file()]
    if not paths:
        raise InputError(f"{folder}: no <clip>.flac or .wav with <clip>.npz beside it; give voices with attributes.")
    waves = [analysis_audio(load_audio(path)).numpy() for path in paths]
    voices = []
    for path, mels in zip(paths, augmented_mels(waves, versions, seed), strict=True):
        labels = path.with_suffix(".npz")
        sex, age = read_attributes(labels)
        still = path.with_suffix(".jpg")
        own = read_portrait(still, portraits) if portraits and still.is_file() else None
        voices.append(Voice(path.stem, mels, _gain(labels, mels.shape[1]), sex, age if age_known else UNKNOWN, own))
    return voices


def _gain(labels: Path, steps: int) -> Tensor | None:
    truth = read_npz(labels, *_SPEECH)
    spoken = next((truth[key] for key in _SPEECH if key in truth and truth[key].size > 1), None)
    if spoken is None:
        return None
    at = (torch.arange(steps) * FPS // int(LogMel.rate)).clamp_max(len(spoken) - 1)
    return open_around(torch.from_numpy(np.asarray(spoken, np.float32))[at][None], GateConfig())[0]


def drawn_mels(
    voices: Sequence[Voice], picked: NDArray[np.integer], steps: int, rng: np.random.Generator, noises: Tensor
) -> Tensor:
    """Augmented stretches [B,steps,80] of the picked voices; noises: see `MelAugment`."""
    return AUGMENT(torch.stack([voices[int(k)].cut(steps, rng) for k in picked]), rng, noises)


def partners(sex: int, age: int, sexes: NDArray[np.integer], ages: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Who of many suits somebody, as far as is known: the same sex, and the same age group or one that is unknown."""
    same_age = (ages == age) | (ages == UNKNOWN) | (age == UNKNOWN)
    return ((sexes == sex) | (sexes == UNKNOWN) | (sex == UNKNOWN)) & same_age
