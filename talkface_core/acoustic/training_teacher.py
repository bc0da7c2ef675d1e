"""What an acoustic model learns to hear from another, or from a better ear: features of its sounds, computed once.

Source: distillation (Hinton et al. 2015; of features: Romero et al., FitNets, 2015). Sounds need no labels for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..datasets.labelled_sounds import SpeechClip, sound_of, sound_samples
from ..speech.whisper_mel import WhisperFeatures
from ..training.frame_cache import CacheKey, cached_file, stats, weights_sum
from .encoded_ear import feature_space, stream_ear
from .hearing import OutsideEar
from .model import AcousticModel
from .stream import acoustic_features, quiet_features
from .training_batches import check_labels
from .training_ear import packed

_TOGETHER = 64
"""Sounds whose samples are held at a time."""


@dataclass(frozen=True)
class Teacher:
    """acoustic: whose features are taught; ear: who hears them, None: the acoustic model itself.

    Raises InputError for an acoustic model that does not go with labels, and for an ear that gives another's features.
    """

    acoustic: AcousticModel
    ear: OutsideEar | None = None

    def __post_init__(self) -> None:
        check_labels(self.acoustic)
        if self.ear is not None:
            self.ear.check(self.acoustic)

    @property
    def silence(self) -> Tensor:
        """What it hears in silence [W]: the acoustic model's own, as whatever hears by the ear gets it too."""
        return quiet_features(self.acoustic)

    def settings(self) -> dict[str, Any]:
        """Of a run that is taught, so that going on with another teacher is noticed."""
        return {
            "like": feature_space(self.acoustic),
            "ear": None if self.ear is None else weights_sum(self.ear),
        }

    def taught(
        self, folder: Path, clips: Sequence[SpeechClip], cache_dir: Path, quiet: bool = False
    ) -> list[SpeechClip]:
        """Clips that were read from a folder, with the features [T,W] of each frame as their latents."""
        sounds = [sound_of(folder, clip) for clip in clips]
        who = [
            feature_space(self.acoustic),
            *(weights_sum(part) for part in (self.acoustic, self.ear) if part is not None),
        ]
        key = CacheKey("taught", folder, (), [who, [clip.name for clip in clips], stats(sounds)])

        def write(part: Path) -> None:
            rows = [row.half().numpy() for row in self._heard(clips, sounds, quiet)]
            with part.open("wb") as file:
                np.savez(file, features=np.concatenate(rows), frames=np.array([len(row) for row in rows]))

        with np.load(cached_file(key, cache_dir, ".npz", write), allow_pickle=False) as stored:
            heard = torch.from_numpy(stored["features"]).split(stored["frames"].tolist())
        return [
            replace(clip, latents=rows[torch.arange(clip.frames).clamp_max(len(rows) - 1)].float())
            for clip, rows in zip(clips, heard, strict=True)  # sounds end within a frame
        ]

    @torch.no_grad()
    def _heard(self, clips: Sequence[SpeechClip], sounds: Sequence[Path], quiet: bool) -> list[Tensor]:
        if self.ear is None:
            shown = tqdm(clips, "taught", unit=" sounds", disable=quiet)
            return [acoustic_features(self.acoustic, clip.mels[0].float()) for clip in shown]
        rows: list[Tensor] = []
        front = WhisperFeatures(self.ear.encoder)
        for first in tqdm(
            range(0, len(sounds), _TOGETHER), "taught", unit=" sounds", unit_scale=_TOGETHER, disable=quiet
        ):
            waves = [torch.from_numpy(sound_samples(path)) for path in sounds[first : first + _TOGETHER]]
            steps = packed(front, waves)
            rows += [torch.cat(list(stream_ear(self.ear.ear, [row.float()]))) for row in steps]
        return rows
