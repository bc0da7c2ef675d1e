"""Batches for stage 2 (speech2latent and the gate): windows of clips, silences cut in, sounds augmented.

Source: ours. Everything is drawn from the generator of the step, on the CPU, and nothing is changed by drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.labels import IGNORE, VISEMES
from ..media.timebase import FPS
from ..sequences import sample_at
from ..speech.features import LogMel
from ..speech.mel_augment import MelAugment, noise_mels
from ..speech.vad import GateConfig, open_around
from .gate_batches import GateBatches, GateTraining
from .pose import pose_units
from .speech2latent import Speech2Latent
from .speech_data import SpeechClip
from .speech_loss import MouthReadout, Speech2LatentLossWeights

# The shortest stretch that is whole in both: 200 ms.
STEPS_PER_BLOCK, FRAMES_PER_BLOCK = 16, 5
SHUT = 0.1  # of the mean opening
_SILENCE = LogMel.SILENCE
UNJUDGED = 6  # frames about a cut: lips neither open nor close in an instant


@dataclass(frozen=True)
class Speech2LatentTraining:
    """Batches: `own` clips with latents and `voices` without (where there are any), windows of `frames`; `gated` is the
    share of clips whose mel is faded outside speech as the gate will do, `silence` the share with a silence cut in,
    `speed` the largest change of tempo,
    `closure` the extra weight of frames of speech with shut lips (p, b, m: few, short, and seen at once when missed),
    `noises` the number of noises that are made beforehand; `gate` is what the gate's own batches are made of."""

    own: int = 8
    voices: int = 8
    frames: int = 200
    gated: float = 0.6
    silence: float = 0.4
    closure: float = 2.0
    speed: float = 0.15
    augment: MelAugment = field(default_factory=MelAugment)
    gate: GateTraining = field(default_factory=lambda: GateTraining(clips=8))
    weights: Speech2LatentLossWeights = field(default_factory=Speech2LatentLossWeights)
    noises: int = 48
    seed: int = 0


class SpeechBatches:
    """Draws batches from own clips (with latents) and voices (without)."""

    def __init__(
        self,
        clips: Sequence[SpeechClip],
        voices: Sequence[SpeechClip],
        settings: Speech2LatentTraining,
        model: Speech2Latent,
        readout: MouthReadout,
        gate: GateConfig | None,
    ):
        """`model` gives the normaliser of the latents, `readout` that of the mouth; `gate` None: no gate is trained."""
        self.settings = settings
        self.gate_batches = GateBatches((*clips, *voices), settings.gate) if gate else None
        self.gate, self.readout = gate or GateConfig(), readout
        self.clips = [self._normal(clip, model) for clip in clips]
        self.voices = [self._normal(clip, model) for clip in voices]
        self.latent_dim = model.config.latent_dim
        self.steps = settings.frames * STEPS_PER_BLOCK // FRAMES_PER_BLOCK
        self.noises = noise_mels(settings.noises, math.ceil(1.2 * self.steps), settings.seed, level=-30.0)

    def _normal(self, clip: SpeechClip, model: Speech2Latent) -> SpeechClip:
        """The clip in the units of the loss; mouths that the read-out does not know are left out."""
        known = self.readout.fitted and clip.mouth is not None and clip.mouth.shape[1] == len(self.readout.bias)
        return replace(
            clip,
            latents=None if clip.latents is None else model.normalise(clip.latents),
            mouth=self.readout.normalise(clip.mouth) if known else None,
            pose=None if clip.pose is None else pose_units(clip.pose),
        )

    def draw(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Log-mels `mel` [B, S, 80] and the targets of `speech2latent_loss`; `gate_mel` and `gate_speech` for the
        gate."""
        chosen = [self.clips[i] for i in _draw(rng, len(self.clips), self.settings.own)]
        chosen += [self.voices[i] for i in _draw(rng, len(self.voices), self.settings.voices)]
        items = [self._item(clip, rng) for clip in chosen]
        batch = {key: torch.stack([item[key] for item in items]) for key in items[0]}
        mel = self.settings.augment(batch.pop("clean"), rng, self.noises)
        faded = torch.from_numpy(rng.random(len(items)) < self.settings.gated)[:, None, None]
        gain = batch.pop("gain")[..., None]
        batch["mel"] = torch.where(faded, _SILENCE + gain * (mel - _SILENCE), mel)
        return {**batch, **(self.gate_batches.draw(rng) if self.gate_batches else {})}

    def _weight(self, clip: SpeechClip) -> Tensor | None:
        """Weight of each frame's mouth [T]; None where the mouth is not known."""
        if clip.mouth is None:
            return None
        opening = clip.mouth[:, -1] * self.readout.mouth_std[-1] + self.readout.mouth_mean[-1]
        shut = opening < SHUT * self.readout.mouth_mean[-1]
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

        mel = torch.full((steps, LogMel.dim), _SILENCE)
        mel[: len(at_step)] = sample_at(clip.mels[rng.integers(0, len(clip.mels))], at_step)
        on = (torch.arange(frames) < real).float()
        moved = None if clip.pose is None else clip.pose - clip.pose.mean(0)
        item = {
            "latents": padded(clip.latents, 0.0, (self.latent_dim,)),
            "has_latents": on * float(clip.latents is not None),
            "mouth": padded(clip.mouth, 0.0, (len(self.readout.bias),)),
            "has_mouth": padded(self._weight(clip), 0.0, nearest=True),
            "pose": padded(clip.pose, 0.0, (3,)),
            "motion": padded(moved, 0.0, (3,)),
            "has_pose": on * float(clip.pose is not None),
            "eyes": padded(clip.eyes, 1.0),
            "visemes": padded(clip.visemes, IGNORE, nearest=True).long(),
        }
        speech = padded(clip.speech, float(clip.speech is None), nearest=True)
        if rng.random() < self.settings.silence:
            self._silence(item, mel, speech, rng)
        frame = (torch.arange(steps) * FRAMES_PER_BLOCK // STEPS_PER_BLOCK).clamp_max(frames - 1)
        return {**item, "clean": mel, "gain": open_around(speech[frame][None], self.gate)[0]}

    def _silence(self, item: dict[str, Tensor], mel: Tensor, speech: Tensor, rng: np.random.Generator) -> None:
        """Cut a silence of a second or more into a window: sound gone, mouth at rest, in the latents as well.

        The frames about its ends are not judged.
        """
        frames = len(speech)
        length = int(frames if rng.random() < 0.2 else rng.integers(FPS, max(int(0.7 * frames), FPS + 1)))
        first = int(rng.integers(0, frames - length + 1))
        last = first + length
        inside = slice(first, last)
        item["latents"][inside] = torch.where(
            item["has_latents"][inside, None] > 0,
            self.readout.close(item["latents"][inside], item["mouth"][inside]),
            item["latents"][inside],
        )
        item["mouth"][inside] = self.readout.closed
        item["has_mouth"][inside] = float(self.readout.fitted)
        item["motion"][inside] = 0.0
        item["visemes"][inside] = VISEMES.index("sil")
        speech[inside] = 0.0
        mel[first * STEPS_PER_BLOCK // FRAMES_PER_BLOCK : last * STEPS_PER_BLOCK // FRAMES_PER_BLOCK] = _SILENCE
        for end in (first, last):
            if 0 < end < frames:
                near = slice(max(end - UNJUDGED, 0), end + UNJUDGED)
                for key in ("has_latents", "has_mouth", "has_pose"):
                    item[key][near] = 0.0
                item["visemes"][near] = IGNORE


def _draw(rng: np.random.Generator, count: int, wanted: int) -> NDArray[np.int64]:
    return rng.choice(count, wanted, replace=wanted > count) if count else np.empty(0, np.int64)
