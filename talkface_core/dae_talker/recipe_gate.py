"""The recipe `gate`: the voice activity gate alone, on speech and on sounds that are none.

    python -m talkface_core train gate --data voices_crowd --voices crowd/train --out RUN

Stage 2 of DAE-Talker trains the gate too, beside speech2latent; here it has the machine for itself, any voices, and
far more steps in as many minutes. What it saves is that one component, for `benchmarks.bundle --add RUN/gate:gate`.
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

from ..checkpoints import save_checkpoint
from ..datasets.clips import open_splits
from ..datasets.labelled_sounds import SpeechClip, read_voices
from ..datasets.sounds import SOUND_VERSIONS
from ..errors import InputError
from ..speech.vad import GATE, GateConfig, VoiceActivityGate, gate_loss
from ..training.arguments import add_batch_size
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from .gate_batches import GateBatches, GateTraining
from .model import SYSTEM

TRAINING = TrainConfig(
    lr=4e-3, schedule="cosine", warmup=50, final_lr=0.02, beta2=0.98, weight_decay=0.02, ema_decay=0.995
)
STEPS = 3000
_BAR = 16  # pixels
_SHOWN = 8  # rows


class GateRecipe(Recipe):
    """Trains `VoiceActivityGate`."""

    name = "gate"

    def __init__(
        self,
        clips: Sequence[SpeechClip],
        training: GateTraining | None = None,
        gate: GateConfig | None = None,
        data: str = "clips",
    ) -> None:
        """Raises InputError for clips of which none tells speech from silence."""
        self.settings, self.data = training or GateTraining(), data
        self.batches = GateBatches(clips, self.settings)
        if not self.batches.clips:
            raise InputError("the gate needs clips whose truth tells speech from silence (`speech`), and none does")
        self.gate = VoiceActivityGate(gate)
        self.modules: dict[str, nn.Module] = {GATE.name: self.gate}
        self.config: Mapping[str, Any] = {
            GATE.name: self.gate.config.to_dict(),
            "training": asdict(self.settings),
            "clips": len(self.batches.clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument("--voices", metavar="DIR", action="append", help="more voices with truth; repeatable")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        clips, _ = open_splits(args.data)
        folders = [clips.folder, *(Path(folder).absolute() for folder in args.voices or ())]
        voices = [
            voice for n, folder in enumerate(folders) for voice in read_voices(folder, SOUND_VERSIONS, args.seed + n)
        ]
        training = GateTraining(seed=args.seed)
        training = replace(training, clips=args.batch_size or training.clips)
        names = [clips.name, *(f"{folder.parent.name}/{folder.name}" for folder in folders[1:])]
        return Plan(cls(voices, training, data=", ".join(names)), TRAINING, STEPS)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """See `GateBatches.draw`."""
        return self.batches.draw(rng)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The cross-entropy of `gate_loss`, and the share of steps told right."""
        logits = self.gate(batch["gate_mel"]).float()
        right = ((logits > 0) == batch["gate_speech"]).float().mean()
        return {"loss": gate_loss(logits, batch["gate_speech"]), "right": right}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """A batch, time to the right: each row's log-mel, then where there is speech, then the gain of the gate."""
        batch, gate = self.batches.draw(np.random.default_rng(0)), cast(VoiceActivityGate, modules[GATE.name])
        device = next(gate.parameters()).device
        rows = []
        for mel, speech in zip(batch["gate_mel"][:_SHOWN], batch["gate_speech"][:_SHOWN], strict=True):
            gain = gate.gain(mel[None].to(device)).cpu()
            bars = [bar.reshape(1, -1).expand(_BAR, -1) for bar in (speech.float(), gain)]
            rows += [(mel.T.flip(0) + 4) / 8, *bars]
        grey = (255 * torch.cat(rows)).round().clamp(0, 255).to(torch.uint8).numpy()
        return np.repeat(grey[..., None], 3, axis=2)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The gate alone, as a part of DAE-Talker."""
        configs = {GATE.name: self.gate.config.to_dict()}
        save_checkpoint(path, SYSTEM, {GATE.name: ema_modules[GATE.name]}, configs, provenance)
