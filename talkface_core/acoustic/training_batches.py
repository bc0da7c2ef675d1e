"""Training windows of labelled sounds: tempos vary, silences are cut in, voices, rooms and noises change.

Source: ours. Everything is drawn from the generator of the step, on the CPU, and nothing is changed by drawing. Nets
that learn more than the mouth subclass `LabelledSpeechBatches` and add their own tracks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.labelled_sounds import SpeechClip
from ..datasets.labels import IGNORE, VISEMES
from ..errors import InputError
from ..media.timebase import FPS
from ..sequences import sample_at
from ..speech.features import LogMel
from ..speech.mel_augment import MelAugment, noise_mels
from ..speech.vad import GateConfig, open_around
from .model import AcousticModel

# The shortest stretch that is whole in both: 200 ms.
STEPS_PER_BLOCK, FRAMES_PER_BLOCK = 16, 5
SHUT = 0.1  # of the mean opening
UNJUDGED = 6  # frames about a cut: lips neither open nor close in an instant

Padded = Callable[..., Tensor]


@dataclass(frozen=True)
class SpeechWindows:
    """Windows of `frames`; `gated` is the share of clips whose mel is faded outside speech as the gate will do,
    `silence` the share with a silence cut in, `speed` the largest change of tempo, `closure` the extra weight of frames
    of speech with shut lips (p, b, m: few, short, and seen at once when missed), `noises` the number of noises that are
    made beforehand."""

    frames: int = 200
    gated: float = 0.6
    silence: float = 0.4
    closure: float = 2.0
    speed: float = 0.15
    augment: MelAugment = field(default_factory=MelAugment)
    noises: int = 48
    seed: int = 0


@dataclass(frozen=True)
class MouthScale:
    """Mean and deviation [M] of mouths in training, and the normalised mouth at rest [M]. The last value is the
    opening."""

    mean: Tensor
    std: Tensor
    closed: Tensor

    @classmethod
    def of(cls, clips: Sequence[SpeechClip], known_scale: tuple[Tensor, Tensor] | None = None) -> MouthScale:
        """Over all clips that have a mouth of as many values as the first; at rest is the mean outside speech, or of
        the tenth that is open least. `known_scale`: mean and deviation [M] that are to be taken instead."""
        known = [(clip, clip.mouth) for clip in clips if clip.mouth is not None]
        known = [(clip, mouth) for clip, mouth in known if mouth.shape[1] == known[0][1].shape[1]]
        mouths = torch.cat([mouth for _, mouth in known])
        silent = torch.cat([well_inside_silence(clip) for clip, _ in known])
        chosen = silent if silent.any() else mouths[:, -1] <= mouths[:, -1].quantile(0.1)
        mean, std = known_scale or (mouths.mean(0), mouths.std(0).clamp_min(1e-6))
        scale = cls(mean, std, torch.zeros(mouths.shape[1]))
        return cls(scale.mean, scale.std, scale.normalise(mouths[chosen]).mean(0))

    def normalise(self, mouth: Tensor) -> Tensor:
        """Mouths [..., M] -> zero mean, unit deviation."""
        return (mouth - self.mean) / self.std


class LabelledSpeechBatches:
    """Draws windows of labelled sounds. `scale` None: nothing is known of mouths."""

    JUDGED: tuple[str, ...] = ("has_mouth",)
    """Weights of frames that are set to zero about a cut."""

    def __init__(self, settings: SpeechWindows, scale: MouthScale | None, gate: GateConfig) -> None:
        self.settings, self.scale, self.gate = settings, scale, gate
        self.steps = settings.frames * STEPS_PER_BLOCK // FRAMES_PER_BLOCK
        self.noises = noise_mels(settings.noises, math.ceil(1.2 * self.steps), settings.seed, level=-30.0)

    def windows(self, chosen: Sequence[SpeechClip], rng: np.random.Generator) -> dict[str, Tensor]:
        """A window of each clip: mel [B,S,80], augmented; mouth [B,T,M] normalised with the weight has_mouth [B,T];
        visemes int64 [B,T], `IGNORE` where unknown; what `_tracks` adds."""
        items = [self._item(clip, rng) for clip in chosen]
        batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
        mel = self.settings.augment(batch.pop("clean"), rng, self.noises)
        faded = torch.from_numpy(rng.random(len(items)) < self.settings.gated)[:, None, None]
        gain = batch.pop("gain")[..., None]
        batch["mel"] = torch.where(faded, LogMel.SILENCE + gain * (mel - LogMel.SILENCE), mel)
        return batch

    def _tracks(self, clip: SpeechClip, padded: Padded, real: Tensor) -> dict[str, Tensor]:
        """Further tracks of a window; `padded(track, fill, shape)` cuts one out, `real` [T] is 1 within the clip."""
        return {}

    def _close(self, item: dict[str, Tensor], inside: slice) -> None:
        """Make the further tracks those of a mouth at rest within a silence; `item` still holds the mouth's own."""

    def _weight(self, clip: SpeechClip) -> Tensor | None:
        """Weight of each frame's mouth [T]; None where the mouth is not known."""
        if clip.mouth is None or self.scale is None:
            return None
        opening = clip.mouth[:, -1] * self.scale.std[-1] + self.scale.mean[-1]
        shut = opening < SHUT * self.scale.mean[-1]
        speech = torch.zeros_like(shut) if clip.speech is None else clip.speech
        return 1.0 + self.settings.closure * (shut & speech).float()

    def _item(self, clip: SpeechClip, rng: np.random.Generator) -> dict[str, Tensor]:
        """One window of a clip at a tempo of its own, padded with silence, perhaps with a silence cut in."""
        frames, steps = self.settings.frames, self.steps
        tempo = float(rng.uniform(1 - self.settings.speed, 1 + self.settings.speed))
        first = int(rng.integers(0, max(clip.frames - int(frames * tempo), 0) // FRAMES_PER_BLOCK + 1))
        real = min(int((clip.frames - first * FRAMES_PER_BLOCK) / tempo), frames)
        # Frame k shows the time k + 1/2, step s the time s.
        at_frame = first * FRAMES_PER_BLOCK + (torch.arange(real) + 0.5) * tempo - 0.5
        at_step = first * STEPS_PER_BLOCK + torch.arange(real * STEPS_PER_BLOCK // FRAMES_PER_BLOCK) * tempo

        def padded(track: Tensor | None, fill: float, shape: tuple[int, ...] = (), nearest: bool = False) -> Tensor:
            out = torch.full((frames, *shape), fill, dtype=torch.float32)
            if track is not None:
                out[:real] = sample_at(track, at_frame.round() if nearest else at_frame)
            return out

        mel = torch.full((steps, LogMel.dim), LogMel.SILENCE)
        mel[: len(at_step)] = sample_at(clip.mels[rng.integers(0, len(clip.mels))], at_step)
        item = {
            **self._tracks(clip, padded, (torch.arange(frames) < real).float()),
            "mouth": padded(clip.mouth, 0.0, (1 if self.scale is None else len(self.scale.mean),)),
            "has_mouth": padded(self._weight(clip), 0.0, nearest=True),
            "visemes": padded(clip.visemes, IGNORE, nearest=True).long(),
        }
        speech = padded(clip.speech, float(clip.speech is None), nearest=True)
        if rng.random() < self.settings.silence:
            self._silence(item, mel, speech, rng)
        frame = (torch.arange(steps) * FRAMES_PER_BLOCK // STEPS_PER_BLOCK).clamp_max(frames - 1)
        return {**item, "clean": mel, "gain": open_around(speech[frame][None], self.gate)[0]}

    def _silence(self, item: dict[str, Tensor], mel: Tensor, speech: Tensor, rng: np.random.Generator) -> None:
        """Cut a silence of a second or more into a window: sound gone, mouth at rest.

        The frames about its ends are not judged.
        """
        frames = len(speech)
        length = int(frames if rng.random() < 0.2 else rng.integers(FPS, max(int(0.7 * frames), FPS + 1)))
        first = int(rng.integers(0, frames - length + 1))
        last = first + length
        inside = slice(first, last)
        self._close(item, inside)
        item["mouth"][inside] = 0.0 if self.scale is None else self.scale.closed
        item["has_mouth"][inside] = float(self.scale is not None)
        item["visemes"][inside] = VISEMES.index("sil")
        speech[inside] = 0.0
        mel[first * STEPS_PER_BLOCK // FRAMES_PER_BLOCK : last * STEPS_PER_BLOCK // FRAMES_PER_BLOCK] = LogMel.SILENCE
        for end in (first, last):
            if 0 < end < frames:
                near = slice(max(end - UNJUDGED, 0), end + UNJUDGED)
                for key in self.JUDGED:
                    item[key][near] = 0.0
                item["visemes"][near] = IGNORE


def check_labels(acoustic: AcousticModel) -> None:
    """Raises InputError for an acoustic model that tells other sounds than the labels have, or at another rate."""
    told = (acoustic.config.visemes, acoustic.config.fps)
    if told != (len(VISEMES), FPS):
        raise InputError(
            f"labels have {len(VISEMES)} visemes at {FPS} frames a second, the acoustic model {told[0]} at {told[1]}; "
            "name one that was trained on such labels."
        )


def draw_clips(rng: np.random.Generator, count: int, wanted: int) -> NDArray[np.int64]:
    """Numbers of `wanted` of `count` clips, each at most once where there are enough; none of none."""
    return rng.choice(count, wanted, replace=wanted > count) if count else np.empty(0, np.int64)


def well_inside_silence(clip: SpeechClip, margin: int = 10) -> Tensor:
    """Bool [T]: frames at least `margin` frames away from speech; none where the truth does not tell."""
    if clip.speech is None:
        return torch.zeros(clip.frames, dtype=torch.bool)
    speech = clip.speech.float()[None, None]
    return torch.nn.functional.max_pool1d(speech, 2 * margin + 1, 1, margin)[0, 0] == 0
