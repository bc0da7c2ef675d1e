"""Batches for the voice activity gate: speech with other sounds under it, and other sounds alone.

Source: ours. What is no speech is made by code (`made_sounds`, and the noises of `wave_augment`), each sound when it is
first drawn; a crowd is many of the clips at once, summed as energies. Everything is drawn from the generator of the
step, on the CPU; a sound depends on its number and the seed alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..datasets.labelled_sounds import SpeechClip
from ..datasets.made_sounds import KINDS, made_sound
from ..media.timebase import FPS, SAMPLE_RATE
from ..speech.features import LogMel
from ..speech.mel_augment import DB_PER_UNIT, MelAugment, energy_mel, mel_energy, reverberate_energy, smooth_curve
from ..speech.wave_augment import NOISES, noise

SOUNDS = (*KINDS, *NOISES, *NOISES, *("crowd",) * 4)
"""What is no speech, by its share."""

_SILENCE = LogMel.SILENCE
_LEVEL = -30.0  # dB of full scale at which sounds are made
_LONGER = 1.25  # than a row


@dataclass(frozen=True)
class GateTraining:
    """A batch has `clips` rows of `seconds`; a share `alone` of them holds no speech. `paused` is the share of the
    others with a long silence cut into the speech (not into what lies under it). `sounds` different ones are made.
    `augment`: what is done to speech; its noises are the sounds."""

    clips: int = 16
    seconds: int = 8
    alone: float = 0.5
    paused: float = 0.5
    sounds: int = 510
    augment: MelAugment = field(
        default_factory=lambda: MelAugment(level=(-45.0, 5.0), snr=(-5.0, 35.0), noise_probability=0.8, masks=1)
    )
    seed: int = 0


class GateBatches:
    """Draws batches from clips that tell speech from silence."""

    def __init__(self, clips: Sequence[SpeechClip], settings: GateTraining) -> None:
        self.clips = [(clip, clip.speech) for clip in clips if clip.speech is not None]
        self.settings, self.steps = settings, int(settings.seconds * LogMel.rate)
        self.sound = cache(self._sound)

    def _sound(self, number: int) -> Tensor:
        """The log-mel of a sound [S, 80], float16, a quarter longer than a row."""
        rng, kind = np.random.default_rng((self.settings.seed, number)), SOUNDS[number % len(SOUNDS)]
        if kind == "crowd":
            return self._crowd(rng).half()
        samples = int(_LONGER * self.settings.seconds * SAMPLE_RATE)
        wave = made_sound(kind, samples, rng) if kind in KINDS else noise(kind, samples, rng)
        return LogMel()(torch.from_numpy(np.float32(10 ** (_LEVEL / 20)) * wave)).half()

    def draw(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Log-mels `gate_mel` [B, S, 80] and where somebody speaks, `gate_speech` bool [B, S]."""
        settings, steps = self.settings, self.steps
        numbers = rng.integers(0, settings.sounds, settings.clips)
        sounds = torch.stack([self.sound(int(number)).float() for number in numbers])
        rows = [self._spoken(rng) for _ in range(settings.clips)]
        mels, labels = (torch.stack(part) for part in zip(*rows, strict=True))
        heard = settings.augment(mels, rng, sounds)
        alone = torch.from_numpy(rng.random(settings.clips) < settings.alone)
        start = int(rng.integers(0, sounds.shape[1] - steps + 1))
        level = torch.from_numpy(rng.uniform(-40.0, 25.0, (settings.clips, 1, 1))).float()
        tilt = smooth_curve(rng, settings.clips, LogMel.dim, 5, 4.0)[:, None]
        others = (sounds[:, start : start + steps] + (level + tilt) / DB_PER_UNIT).clamp(_SILENCE, -_SILENCE)
        return {
            "gate_mel": torch.where(alone[:, None, None], others, heard),
            "gate_speech": labels & ~alone[:, None],
        }

    def _excerpt(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A row of a clip [S, 80], padded with silence, and its flags [S]."""
        clip, speech = self.clips[rng.integers(0, len(self.clips))]
        mel, flags = torch.full((self.steps, LogMel.dim), _SILENCE), torch.zeros(self.steps, dtype=torch.bool)
        whole = clip.mels[rng.integers(0, len(clip.mels))]
        start = int(rng.integers(0, max(len(whole) - self.steps, 0) + 1))
        sound = whole[start : start + self.steps].float()
        frames = ((start + torch.arange(len(sound))) * FPS // int(LogMel.rate)).clamp_max(clip.frames - 1)
        mel[: len(sound)], flags[: len(sound)] = sound, speech[frames]
        return mel, flags

    def _spoken(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The same, perhaps with a silence of a second or more cut in."""
        mel, flags = self._excerpt(rng)
        if rng.random() < self.settings.paused:
            length = int(rng.integers(min(80, self.steps // 2), self.steps))
            first = int(rng.integers(0, self.steps - length + 1))
            mel[first : first + length], flags[first : first + length] = _SILENCE, False
        return mel, flags

    def _crowd(self, rng: np.random.Generator) -> Tensor:
        """Eight to thirty of the clips at once in a hall, [S, 80], as long and loud as the other sounds."""
        steps = int(_LONGER * self.steps)
        energy = torch.zeros(steps, LogMel.dim)
        for _ in range(rng.integers(8, 31)):
            voice = mel_energy(self._excerpt(rng)[0])
            voice = voice[(torch.arange(steps) + int(rng.integers(0, self.steps))) % self.steps]
            energy += voice / voice.sum(1).mean() * rng.uniform(0.1, 1.0)
        seconds, ratio = (torch.tensor([rng.uniform(*span)]) for span in ((0.3, 1.5), (0.2, 2.0)))
        energy = reverberate_energy(energy[None], seconds.float(), ratio.float())[0]
        return energy_mel(energy / energy.sum(1).quantile(0.9) * 10 ** (_LEVEL / 10) * LogMel.dim)
