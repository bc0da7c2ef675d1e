"""Batches for stage 2 (speech2latent and the gate): windows of clips with latents and of voices without.

Source: ours. Windows are cut and changed as the acoustic model's are (acoustic/training_batches.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ..acoustic.training_batches import (
    LabelledSpeechBatches,
    MouthScale,
    Padded,
    SpeechWindows,
    draw_clips,
)
from ..datasets.labelled_sounds import SpeechClip
from ..speech.vad import GateConfig
from .gate_batches import GateBatches, GateTraining
from .pose import pose_units
from .speech2latent import Speech2Latent
from .speech_loss import MouthReadout, Speech2LatentLossWeights

BY_EAR = 0.6
"""Share of windows that an ear hears, of clips that one has heard."""


@dataclass(frozen=True)
class Speech2LatentTraining(SpeechWindows):
    """Batches: windows of `own` clips with latents and of `voices` without (where there are any); `gate` is what the
    gate's own batches are made of. features_noise: what is added to features of an acoustic model, by their deviation:
    an ear in its place gives them a little otherwise."""

    own: int = 8
    voices: int = 8
    features_noise: float = 0.3
    gate: GateTraining = field(default_factory=lambda: GateTraining(clips=8))
    weights: Speech2LatentLossWeights = field(default_factory=Speech2LatentLossWeights)


class SpeechBatches(LabelledSpeechBatches):
    """Draws batches from own clips (with latents) and voices (without)."""

    JUDGED = ("has_latents", "has_mouth", "has_pose")

    def __init__(
        self,
        clips: Sequence[SpeechClip],
        voices: Sequence[SpeechClip],
        settings: Speech2LatentTraining,
        model: Speech2Latent,
        readout: MouthReadout,
        gate: GateConfig | None,
        quiet: Tensor | None = None,
    ):
        """`model` gives the normaliser of the latents, `readout` that of the mouth; `gate` None: no gate is trained;
        quiet [W]: features of silence, for clips that an ear has heard."""
        scale = MouthScale(readout.mouth_mean, readout.mouth_std, readout.closed) if readout.fitted else None
        super().__init__(settings, scale, gate or GateConfig())
        self.training = settings
        self.gate_batches = GateBatches((*clips, *voices), settings.gate) if gate else None
        self.readout, self.quiet = readout, quiet
        self.clips = [self._normal(clip, model) for clip in clips]
        self.voices = [self._normal(clip, model) for clip in voices]
        self.latent_dim = model.config.latent_dim

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
        gate; where an ear has heard the clips, its `features` [B, T, W] and `by_ear` bool [B], whether they are to be
        heard."""
        chosen = [self.clips[i] for i in draw_clips(rng, len(self.clips), self.training.own)]
        chosen += [self.voices[i] for i in draw_clips(rng, len(self.voices), self.training.voices)]
        if self.quiet is not None:
            chosen = [_one_version(clip, rng) for clip in chosen]
        batch = self.windows(chosen, rng)
        if self.quiet is not None:
            known = torch.tensor([clip.by_ear is not None for clip in chosen])
            batch["by_ear"] = known & torch.from_numpy(rng.random(len(chosen)) < BY_EAR)
        return {**batch, **(self.gate_batches.draw(rng) if self.gate_batches else {})}

    def _tracks(self, clip: SpeechClip, padded: Padded, real: Tensor) -> dict[str, Tensor]:
        """latents, pose, its motion about its mean, and eyes; what an ear hears."""
        moved = None if clip.pose is None else clip.pose - clip.pose.mean(0)
        heard = {}
        if self.quiet is not None:
            above = None if clip.by_ear is None else clip.by_ear[0].float() - self.quiet
            heard = {"features": self.quiet + padded(above, 0.0, (len(self.quiet),))}
        return {
            **heard,
            "latents": padded(clip.latents, 0.0, (self.latent_dim,)),
            "has_latents": real * float(clip.latents is not None),
            "pose": padded(clip.pose, 0.0, (3,)),
            "motion": padded(moved, 0.0, (3,)),
            "has_pose": real * float(clip.pose is not None),
            "eyes": padded(clip.eyes, 1.0),
        }

    def _close(self, item: dict[str, Tensor], inside: slice) -> None:
        """A mouth at rest in the latents as well, and a still head."""
        item["latents"][inside] = torch.where(
            item["has_latents"][inside, None] > 0,
            self.readout.close(item["latents"][inside], item["mouth"][inside]),
            item["latents"][inside],
        )
        item["motion"][inside] = 0.0
        if self.quiet is not None:
            item["features"][inside] = self.quiet


def _one_version(clip: SpeechClip, rng: np.random.Generator) -> SpeechClip:
    """The clip with one version of what an ear hears."""
    if clip.by_ear is None:
        return clip
    return replace(clip, by_ear=clip.by_ear[int(rng.integers(len(clip.by_ear)))][None])
