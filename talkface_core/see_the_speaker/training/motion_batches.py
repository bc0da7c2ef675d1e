"""Training windows of the motion diffusion: what is heard, the motion to it, and what came just before.

Source: JoyVASA (Cao et al. 2024): windows with the frames before them, which at a sound's beginning are learnt ones.
Ours: what came before is shown with some noise, for in a stream it is the network's own; mirrored faces; silences, in
which the mouth is shut and the head goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ...acoustic.training_features import HeardFeatures
from ...errors import InputError
from ..controls import ControlTable
from ..motion import POSE_VALUES
from ..prosody import SILENT
from ..style import keep_shut
from .motion_clips import MotionClip, mirrored


@dataclass(frozen=True)
class MotionBatches:
    """How windows are drawn; probabilities of a window unless said otherwise.

    windows: in a batch; start: it begins a sound; silence: nothing is said; mirror: left and right are swapped;
    tremble: deviation of noise on what came before, by the motion's own, at most; closure: extra weight of frames at
    p, b and m; melody: deviation of noise on prosody.
    """

    windows: int = 24
    start: float = 0.15
    silence: float = 0.08
    mirror: float = 0.5
    tremble: float = 0.15
    closure: float = 4.0
    melody: float = 0.02


class MotionSampler:
    """Draws windows of clips and the features of their sounds."""

    def __init__(
        self,
        clips: Sequence[MotionClip],
        heard: HeardFeatures,
        settings: MotionBatches,
        frames: int,
        previous: int,
        controls: ControlTable,
        melody: bool = True,
    ) -> None:
        """frames, previous: of a window and before it; melody: prosody is heard as well. Raises InputError where there
        is no clip."""
        if not clips:
            raise InputError("no clip to train the motion on; give a folder of clips with landmarks and sound.")
        self.clips, self.heard, self.settings = clips, heard, settings
        self.frames, self.previous, self.controls, self.melody = frames, previous, controls, melody
        lengths = np.array([len(clip) for clip in clips], np.float64)
        self._chances = lengths / lengths.sum()

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """features [B,P+L,A]; motion, before [B,L,V] and [B,P,V]: as it should be, and as it is shown; starts bool [B];
        weight [B,L]; known [B,V]; tremble [B,1,1]: of the noise that `before` is still to have."""
        chosen = rng.choice(len(self.clips), self.settings.windows, p=self._chances)
        items = [self._window(int(clip), rng) for clip in chosen]
        return default_collate(items)

    def _window(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        settings, clip = self.settings, self.clips[index]
        total = self.frames + self.previous
        first = int(rng.integers(-self.previous, max(len(clip) - total, 0) + 1))
        starts = first < 0 or rng.random() < settings.start
        first = max(first, -self.previous)
        every = first + np.arange(total)
        inside = torch.from_numpy((every >= 0) & (every < len(clip))).float()
        every = every.clip(0, len(clip) - 1)
        silent = rng.random() < settings.silence
        features = self._features(index, every, rng, silent)
        values = clip.values[every]
        if silent:
            points, rest = values.split([values.shape[1] - POSE_VALUES, POSE_VALUES], 1)
            points = points.unflatten(1, (-1, 3))
            values = torch.cat([keep_shut(points, torch.ones(total), self.controls).flatten(1), rest], 1)
        if rng.random() < settings.mirror:
            values = mirrored(values)
        closing = np.zeros(total, np.float32)
        if not silent:
            closing = np.isin(every, clip.closures[:, None] + np.arange(-1, 2)).astype(np.float32)
        weight = inside * (1 + settings.closure * torch.from_numpy(closing))
        return {
            "features": features,
            "motion": values[self.previous :],
            "before": values[: self.previous],
            "starts": torch.tensor(starts or bool((inside[: self.previous] == 0).any())),
            "weight": weight[self.previous :],
            "known": clip.known,
            "tremble": torch.full((1, 1), settings.tremble * rng.random() ** 2),
        }

    def _features(self, index: int, every: NDArray[np.integer], rng: np.random.Generator, silent: bool) -> Tensor:
        features = self.heard.of(index, every, rng, silent)
        if not self.melody:
            return features
        melody = SILENT.expand(len(every), -1) if silent else self.clips[index].prosody[every]
        noise = torch.from_numpy(rng.standard_normal(melody.shape, dtype=np.float32))
        return torch.cat([features, melody + self.settings.melody * noise * (melody != 0)], 1)
