"""The recipe `whisper-ear-tuning`: an ear and its encoder's blocks learn together what was learnt behind frozen ones.

    python -m talkface_core train whisper-ear-tuning --data SET/train --voices MORE --ear FILE --out RUN

`whisper-ear` made the file: its encoder is a Whisper's, few blocks of it perhaps, which said what a decoder needed to
write words. Here these blocks learn to say what mouths do. Losses and targets are the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..components import build
from ..errors import InputError
from ..speech.wave_augment import WaveAugment
from ..speech.whisper import SYSTEM, WHISPER, WhisperEncoder
from ..speech.whisper_mel import HOP, WhisperFeatures, whisper_mel
from ..training.arguments import add_batch_size
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from .encoded_ear import EAR, EncodedEar, feature_space
from .model import AcousticModel, load_acoustic
from .recipe_ear import (
    EarTraining,
    add_sounds,
    check_mouths,
    ear_errors,
    ear_losses,
    held_out_of,
    named,
    opening_curves,
    sounds_of,
)
from .training_batches import check_labels, draw_clips
from .training_ear import HeardClip, SoundClip, hear_again, placed, read_sounds

TRAINING = TrainConfig(
    lr=1e-4, schedule="cosine", warmup=50, final_lr=0.02, beta2=0.98, weight_decay=0.01, ema_decay=0.99
)
STEPS = 600

CLEAN = 0.3
"""Of the windows, heard as recorded; the others have noises and rooms."""


class EarTuningRecipe(Recipe):
    """Train an encoder and the ear behind it; `val`, other voices, is measured when a checkpoint is saved."""

    name = "whisper-ear-tuning"

    def __init__(
        self,
        clips: Sequence[SoundClip],
        encoder: WhisperEncoder,
        net: EncodedEar,
        acoustic: AcousticModel,
        val: Sequence[SoundClip] = (),
        training: EarTraining | None = None,
        data: str = "voices",
    ) -> None:
        """Raises InputError for an ear of another acoustic model or encoder, and clips of which none has a mouth like
        the acoustic model's."""
        self.settings, self.data = training or EarTraining(clips=6), data
        if encoder.config.width != net.config.dim:
            raise InputError(f"the ear reads {net.config.dim} values a step, its encoder gives {encoder.config.width}.")
        if feature_space(acoustic) not in net.config.spaces:
            raise InputError("the ear was trained for another acoustic model; give its own as --acoustic.")
        check_mouths([clip.targets for clip in clips], acoustic, data)
        self.encoder, self.net = encoder.requires_grad_(True), net.requires_grad_(True)
        self.acoustic = acoustic.eval().requires_grad_(False)
        self.modules: dict[str, nn.Module] = {WHISPER.name: self.encoder, EAR.name: self.net}
        self._clips, self._val, self._waves = clips, val, [clip.wave for clip in clips]
        self._augment = WaveAugment()
        self.config: Mapping[str, Any] = {
            "ear": net.config.to_dict(),
            "whisper": encoder.config.to_dict(),
            "training": asdict(self.settings),
            "clean": CLEAN,
            "clips": len(clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument(
            "--ear", metavar="NAME|FILE", required=True, help="what whisper-ear made: an encoder and its ear"
        )
        add_sounds(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        acoustic = load_acoustic(args.acoustic)
        check_labels(acoustic)
        checkpoint = read_checkpoint(find_checkpoint(args.ear), SYSTEM)
        encoder, net = build(checkpoint, WHISPER), build(checkpoint, EAR)
        folders = sounds_of(args)
        clips = [clip for folder in folders for clip in read_sounds(folder, acoustic)]
        held_out = held_out_of(args)
        val = read_sounds(held_out, acoustic) if held_out else ()
        settings = EarTraining(clips=args.batch_size or 6)
        return Plan(cls(clips, encoder, net, acoustic, val, settings, named(folders)), TRAINING, STEPS)

    def prepare(self, device: torch.device) -> None:
        self.acoustic.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        steps, per_frame = self.encoder.config.steps, self.net.config.steps
        items = []
        for number in draw_clips(rng, len(self._clips), self.settings.clips):
            clip = self._clips[number]
            if rng.random() >= CLEAN:
                clip = replace(clip, wave=self._augment(clip.wave, rng, self._waves))
            wave, targets = placed(clip, self.acoustic.config.mouths, steps // per_frame, per_frame * HOP, rng)
            items.append({"mel": whisper_mel(torch.from_numpy(wave), steps), **targets})
        return {key: torch.stack([item[key] for item in items]) for key in items[0]}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        frames, per_frame = batch["real"].shape[1], self.net.config.steps
        heard = self.encoder(batch["mel"])[:, : frames * per_frame].unflatten(1, (frames, per_frame)).flatten(2)
        return ear_losses(self.net, self.acoustic, (heard - self.net.mean) / self.net.std, batch, self.settings)

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The opening over time in four clips, held out where there are such: the truth in grey, what is heard in
        black."""
        known = [clip for clip in (*self._val, *self._clips) if clip.targets.mouth is not None]
        heard = _heard(modules, (known * 4)[:4])
        return opening_curves(cast(EncodedEar, modules[EAR.name]), self.acoustic, heard)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = cast(EncodedEar, ema_modules[EAR.name])
        val = _heard(ema_modules, self._val)
        measured = {"measured": ear_errors(net, self.acoustic, val)} if val else {}
        configs = {WHISPER.name: self.encoder.config.to_dict(), EAR.name: net.config.to_dict()}
        save_checkpoint(path, SYSTEM, ema_modules, configs, {**provenance, **measured}, torch.float16)


def _heard(modules: Mapping[str, nn.Module], clips: Sequence[SoundClip]) -> list[HeardClip]:
    """The clips as the encoder of these networks hears them now."""
    front = WhisperFeatures(cast(WhisperEncoder, modules[WHISPER.name]))
    return hear_again(clips, front, cast(EncodedEar, modules[EAR.name]).config.steps)
