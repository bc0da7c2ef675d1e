"""Training batches of the lip expert: windows of one clip with the sound of that moment and of others near it.

All negatives come from the same clip, so that neither the voice nor the face gives the answer away (Wav2Lip, section
3.2); some lie close by, so that the expert learns to tell two or three frames apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.talking_faces import TalkingFaces
from ..faces.placement import Placement
from ..media.timebase import FPS
from ..speech.features import LogMel
from ..speech.mel_augment import MelAugment, noise_mels
from ..speech.mel_windows import FRAMES, WINDOW, window_starts
from ..training.picture_augment import PictureAugment

STRETCH = 200  # frames of a clip that one batch draws from
_MARGIN = 2 * WINDOW  # mel steps around them
_NOISES = 24


@dataclass(frozen=True)
class SyncBatches:
    """How a batch is drawn: `clips` of them, `windows` of each, `shifted` other sounds for each window, `nearest` to
    `farthest` frames away; `speaking` is the share of windows drawn where somebody speaks. `augment`: other
    voices, microphones, noises, cameras, lights and alignments."""

    clips: int = 16
    windows: int = 6
    shifted: int = 1
    nearest: int = 3
    farthest: int = 20
    speaking: float = 0.9
    augment: bool = True


class SyncSampler:
    """Draws batches from faces that talk; the same for the same generator."""

    def __init__(self, data: TalkingFaces, settings: SyncBatches, mel_shift: float = 0.0, seed: int = 0) -> None:
        self.data, self.settings, self.mel_shift = data, settings, mel_shift
        self.pictures, self.sound = PictureAugment(), MelAugment()
        steps = int(LogMel.rate * STRETCH / FPS) + 2 * _MARGIN
        self.noises = noise_mels(_NOISES, steps, seed) if settings.augment else None
        self._usable = np.flatnonzero(data.lengths >= FRAMES + settings.nearest)
        self._speaking = [self._speech(c) for c in range(len(data.lengths))]

    def _speech(self, clip: int) -> NDArray[np.int64]:
        """Middle frames of this clip's windows during speech; all of them where speech is not known."""
        middles = np.arange(FRAMES // 2, self.data.lengths[clip] - FRAMES // 2)
        if self.data.speech is None:
            return middles
        spoken = middles[self.data.speech[self.data.clip(clip)][middles]]
        return spoken if len(spoken) else middles

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """faces uint8 [C,K,5,S/2,S,3]; windows float32 [C,K,1+shifted,80,16], the first in step; times int64
        [C,K,1+shifted], the frames of their clip that the sounds are centred on; rows int64 [C,K], those of the faces
        in the whole set."""
        settings = self.settings
        chosen = rng.choice(self._usable, settings.clips, replace=len(self._usable) < settings.clips)
        parts = [self._clip(int(clip), rng) for clip in chosen]
        mels = torch.stack([part[2] for part in parts])
        if self.noises is not None:
            mels = self.sound(mels, rng, self.noises)
        faces, times = np.stack([part[0] for part in parts]), np.stack([part[1] for part in parts])
        firsts = np.stack([part[3] for part in parts])
        steps = torch.from_numpy(firsts.reshape(len(parts), -1, 1)) + torch.arange(WINDOW)
        picked = torch.stack([mel[s] for mel, s in zip(mels, steps, strict=True)])
        windows = picked.reshape(*times.shape, WINDOW, LogMel.dim).transpose(3, 4)
        rows = torch.from_numpy(times[..., 0] + self.data.starts[chosen][:, None])
        return {"faces": torch.from_numpy(faces), "windows": windows, "times": torch.from_numpy(times), "rows": rows}

    def _clip(self, clip: int, rng: np.random.Generator):
        settings, data = self.settings, self.data
        length, half = int(data.lengths[clip]), FRAMES // 2
        begin = int(rng.integers(0, max(length - STRETCH, 0) + 1))
        end = min(begin + STRETCH, length)
        spoken = self._speaking[clip]
        spoken = spoken[(spoken >= begin + half) & (spoken < end - half)]
        middles = []
        for _ in range(settings.windows):
            anywhere = not len(spoken) or rng.random() >= settings.speaking
            middles.append(int(rng.integers(begin + half, end - half)) if anywhere else int(rng.choice(spoken)))
        times = np.array([[m, *self._others(m, begin + half, end - half, rng)] for m in middles])
        placement = Placement.draw(rng, data.size, data.pad) if settings.augment else None
        placement = placement or Placement.plain(data.size, data.pad)
        frames = (times[:, :1] - half + np.arange(FRAMES)).reshape(-1)
        pictures = placement.pictures(data.frames[data.starts[clip] + frames], top=data.size // 2)
        if settings.augment:
            pictures = self.pictures.look(rng)(pictures)
        pictures = pictures.reshape(settings.windows, FRAMES, *pictures.shape[1:])
        versions = data.mels[clip]
        mel = versions[int(rng.integers(len(versions))) if settings.augment else 0]
        origin = int(LogMel.rate * begin / FPS) - _MARGIN
        steps = origin + np.arange(int(LogMel.rate * STRETCH / FPS) + 2 * _MARGIN)
        inside = torch.from_numpy((steps >= 0) & (steps < len(mel)))
        excerpt = mel[torch.from_numpy(steps.clip(0, len(mel) - 1))].float()
        excerpt = torch.where(inside[:, None], excerpt, torch.full_like(excerpt, LogMel.SILENCE))
        firsts = np.array(window_starts(times.reshape(-1).tolist(), FPS, self.mel_shift)) - origin
        return pictures, times, excerpt, firsts.reshape(times.shape)

    def _others(self, middle: int, first: int, stop: int, rng: np.random.Generator) -> list[int]:
        """Frames at least `nearest` and, where the clip is long enough, at most `farthest` away."""
        settings = self.settings
        frames = np.arange(first, stop)
        apart = np.abs(frames - middle)
        near = frames[(apart >= settings.nearest) & (apart <= settings.farthest)]
        near = near if len(near) else frames[[apart.argmax()]]
        return [int(frame) for frame in rng.choice(near, settings.shifted)]
