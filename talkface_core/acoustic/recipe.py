"""The recipe `acoustic`: trains the acoustic model on sounds with labels.

    python -m talkface_core train acoustic --data SET/train --voices MORE --out RUN

Cross-entropy of the visemes, mean squared error of the mouth's blendshapes, in which the opening counts as much as all
together, and of its change from frame to frame. No picture is read, so real voices on rendered people serve as well as
any.

With `--taught DIR` it also learns the features that a better ear had (distillation, Hinton et al. 2015): of the
labelled sounds, and of sounds that lie in DIR and need no labels. Networks that hear its features go on to understand
them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import save_checkpoint
from ..datasets.labelled_sounds import SpeechClip, has_sounds, read_taught, read_voices
from ..datasets.labels import IGNORE, VISEMES
from ..datasets.sounds import SOUND_VERSIONS
from ..errors import InputError
from ..speech.vad import GateConfig
from ..training.arguments import add_batch_size, add_preset
from ..training.config import TrainConfig
from ..training.curves import plot_curves
from ..training.recipe import Batch, Plan, Recipe
from .losses import masked_mean, viseme_loss
from .model import COMPONENT, SYSTEM, AcousticConfig, AcousticModel
from .training_batches import LabelledSpeechBatches, MouthScale, Padded, SpeechWindows, draw_clips

TRAINING = {
    "tiny": TrainConfig(
        lr=1e-3,
        schedule="cosine",
        warmup=100,
        final_lr=0.02,
        beta2=0.98,
        weight_decay=0.03,
        ema_decay=0.998,
        precision="auto",
    ),
    "base": TrainConfig(lr=3e-4, schedule="cosine", warmup=1000, weight_decay=0.03, precision="auto"),
}
STEPS = {"tiny": 3000, "base": 100_000}


@dataclass(frozen=True)
class AcousticTraining:
    """clips: windows in a batch; windows: how they are drawn; visemes, mouth, opening, velocity: weights of the
    losses, `features` of those that a better ear had."""

    clips: int = 12
    windows: SpeechWindows = field(default_factory=lambda: SpeechWindows(frames=100, gated=0.4, silence=0.2))
    visemes: float = 0.3
    mouth: float = 1.0
    opening: float = 1.0
    velocity: float = 0.5
    features: float = 1.0


class AcousticRecipe(Recipe):
    """Train an `AcousticModel` on labelled sounds; `val`, other voices, is measured when a checkpoint is saved."""

    name = "acoustic"

    def __init__(
        self,
        clips: Sequence[SpeechClip],
        config: AcousticConfig | None = None,
        val: Sequence[SpeechClip] = (),
        training: AcousticTraining | None = None,
        data: str = "voices",
    ) -> None:
        """Raises InputError for clips of which none has a mouth."""
        self.settings, self.data = training or AcousticTraining(), data
        if not any(clip.mouth is not None for clip in clips):
            raise InputError(f"{data}: no clip's truth has blendshapes or landmarks; the acoustic model needs mouths.")
        scale = MouthScale.of(clips)
        self.net = AcousticModel(replace(config or AcousticConfig(), visemes=len(VISEMES), mouths=len(scale.mean)))
        self.net.mouth_mean.copy_(scale.mean)
        self.net.mouth_std.copy_(scale.std)
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self._clips, self._val = ([replace(clip, mouth=_mouth(clip, scale)) for clip in some] for some in (clips, val))
        taught = [clip.latents for clip in self._clips if clip.latents is not None]
        self._taught = bool(taught)
        self._spread = torch.cat(taught).std(0).clamp_min(1e-3) if taught else torch.ones(self.net.config.width)
        self._batches = TaughtBatches(self.settings.windows, scale, GateConfig(), self.net.config.width)
        self.config: Mapping[str, Any] = {
            "acoustic": self.net.config.to_dict(),
            "training": asdict(self.settings),
            "clips": len(self._clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        parser.add_argument("--voices", metavar="DIR", action="append", help="more sounds with truth; repeatable")
        parser.add_argument(
            "--taught", metavar="DIR", help="features of a better ear, <clip>.npz, beside sounds that have no labels"
        )
        parser.add_argument("--val", metavar="DIR", help="sounds with truth to measure at the end (default: DIR/val)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        data = Path(args.data).absolute()
        folders = [_split(data, "train") or data, *(Path(folder).absolute() for folder in args.voices or ())]
        config = AcousticConfig.preset(args.preset)
        taught = read_taught(args.taught, config.width) if args.taught else {}
        known = len(folders)
        folders += [Path(args.taught).absolute()] if args.taught and has_sounds(args.taught) else []
        clips = [
            c for n, folder in enumerate(folders) for c in read_voices(folder, SOUND_VERSIONS, args.seed + n, taught)
        ]
        if taught and all(clip.latents is None for clip in clips):
            raise InputError(f"{args.taught}: none of its features bears the name of a sound; call them as the sounds.")
        settings = AcousticTraining()
        settings = replace(
            settings,
            clips=args.batch_size or settings.clips,
            windows=replace(settings.windows, seed=args.seed),
        )
        held_out = args.val or _split(data, "val")
        val = read_voices(held_out) if held_out else ()
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in folders[:known])
        return Plan(
            cls(clips, config, val, settings, names),
            TRAINING[args.preset],
            STEPS[args.preset],
        )

    def prepare(self, device: torch.device) -> None:
        self._spread = self._spread.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        chosen = draw_clips(rng, len(self._clips), self.settings.clips)
        return self._batches.windows([self._clips[i] for i in chosen], rng)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        settings = self.settings
        output = self.net(batch["mel"], batch["mouth"].shape[1])
        weight, wanted = batch["has_mouth"], batch["mouth"]
        error = output.mouth.float() - wanted
        both = weight[:, 1:] * weight[:, :-1]
        terms = {
            "visemes": viseme_loss(output.visemes, batch["visemes"]),
            "mouth": masked_mean(error.square(), weight),
            "opening": masked_mean(error[..., -1].square(), weight),
            "velocity": masked_mean(error.diff(dim=1).square(), both),
        }
        if self._taught:
            away = (output.features.float() - batch["heard"]) / self._spread
            terms["features"] = masked_mean(away.square(), batch["has_heard"])
        total = sum(getattr(settings, name) * value for name, value in terms.items())
        return {"loss": total, **terms}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The opening over time in four clips, held out where there are such: the truth in grey, what is heard in
        black."""
        net, rows = cast(AcousticModel, modules[COMPONENT]), []
        known = [(clip, clip.mouth) for clip in (*self._val, *self._clips) if clip.mouth is not None]
        for clip, mouth in (known * 4)[:4]:
            heard = net(clip.mels[0][None].to(net.viseme.weight), clip.frames).mouth[0, :, -1]
            rows.append(plot_curves([mouth[:, -1], heard.float().cpu()]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = cast(AcousticModel, ema_modules[COMPONENT])
        measured = {"measured": acoustic_errors(net, self._val)} if self._val else {}
        configs = {COMPONENT: net.config.to_dict()}
        save_checkpoint(path, SYSTEM, {COMPONENT: net}, configs, {**provenance, **measured}, torch.float16)


class TaughtBatches(LabelledSpeechBatches):
    """Windows that also hold the clips' latents as `heard` [B,T,width] with the weight has_heard [B,T]: 0 where none
    are known, and about and in a silence that was cut in."""

    JUDGED = (*LabelledSpeechBatches.JUDGED, "has_heard")

    def __init__(self, settings: SpeechWindows, scale: MouthScale | None, gate: GateConfig, width: int) -> None:
        super().__init__(settings, scale, gate)
        self.width = width

    def _tracks(self, clip: SpeechClip, padded: Padded, real: Tensor) -> dict[str, Tensor]:
        known = float(clip.latents is not None)
        return {"heard": padded(clip.latents, 0.0, (self.width,)), "has_heard": known * real}

    def _close(self, item: dict[str, Tensor], inside: slice) -> None:
        item["has_heard"][inside] = 0.0


def _split(folder: Path, name: str) -> Path | None:
    """A split of a set, where the folder has such."""
    return folder / name if (folder / name).is_dir() else None


def _mouth(clip: SpeechClip, scale: MouthScale) -> Tensor | None:
    if clip.mouth is None or clip.mouth.shape[1] != len(scale.mean):
        return None
    return scale.normalise(clip.mouth)


@torch.no_grad()
def acoustic_errors(net: AcousticModel, clips: Sequence[SpeechClip]) -> dict[str, float]:
    """How well clean sounds are heard, means over clips, whose mouths are normalised as those of training.

    opening: correlation of the opening with the truth; spread: its deviation by the truth's; error: mean absolute error
    of all mouth values by that of their mean in training; visemes: share of frames whose sound is right.
    """
    found: dict[str, list[float]] = {"opening": [], "spread": [], "error": [], "visemes": []}
    for clip in clips:
        output = net(clip.mels[0][None].to(net.viseme.weight), clip.frames)
        if clip.mouth is not None:
            mouth = output.mouth[0].float().cpu()
            heard, truth = mouth[:, -1], clip.mouth[:, -1]
            if truth.std() > 0 and heard.std() > 0:
                found["opening"].append(float(torch.corrcoef(torch.stack([heard, truth]))[0, 1]))
                found["spread"].append(float(heard.std() / truth.std()))
            found["error"].append(float((mouth - clip.mouth).abs().mean() / clip.mouth.abs().mean()))
        if clip.visemes is not None and (known := clip.visemes != IGNORE).any():
            right = output.visemes[0].argmax(-1).cpu() == clip.visemes
            found["visemes"].append(float(right[known].float().mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items() if values}
