"""The recipe `whisper-ear`: trains an ear that hears by Whisper and gives a trained acoustic model's features.

    python -m talkface_core train whisper-ear --data SET/train --voices MORE --whisper FILE --out RUN

Whisper and the acoustic model are frozen. What the acoustic model has of sounds that it was trained on is the target
(distillation, Hinton et al. 2015), and what its layers read of the ear's features must be the truth's visemes and
mouths. The checkpoint holds Whisper's encoder too: it is what --ear takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..components import build
from ..datasets.labels import IGNORE
from ..datasets.sounds import SOUND_VERSIONS
from ..errors import InputError
from ..speech.whisper import LEAST_STEPS, SYSTEM, WHISPER, WhisperEncoder, first_blocks
from ..speech.whisper_mel import WhisperFeatures
from ..training.arguments import above_zero, add_batch_size
from ..training.config import TrainConfig
from ..training.curves import plot_curves
from ..training.recipe import Batch, Plan, Recipe
from .encoded_ear import EAR, EarConfig, EncodedEar, feature_space
from .losses import masked_mean, viseme_loss
from .model import AcousticModel, load_acoustic
from .training_batches import check_labels, draw_clips
from .training_ear import HeardClip, hear_voices, windows

TRAINING = TrainConfig(
    lr=1e-3, schedule="cosine", warmup=100, final_lr=0.02, beta2=0.98, weight_decay=0.03, ema_decay=0.995
)
STEPS = 1500


@dataclass(frozen=True)
class EarTraining:
    """clips: windows in a batch, each of `frames`; noise: deviation of what is added to what Whisper says; features,
    visemes, mouth, opening, velocity: weights of the losses."""

    clips: int = 12
    frames: int = 100
    noise: float = 0.1
    features: float = 1.0
    visemes: float = 0.3
    mouth: float = 1.0
    opening: float = 1.0
    velocity: float = 0.5


class EarRecipe(Recipe):
    """Train an `EncodedEar`; `val`, other voices, is measured when a checkpoint is saved."""

    name = "whisper-ear"

    def __init__(
        self,
        clips: Sequence[HeardClip],
        encoder: WhisperEncoder,
        acoustic: AcousticModel,
        config: EarConfig | None = None,
        val: Sequence[HeardClip] = (),
        training: EarTraining | None = None,
        data: str = "voices",
    ) -> None:
        """Raises InputError for clips of which none has a mouth like the acoustic model's."""
        self.settings, self.data = training or EarTraining(), data
        check_mouths(clips, acoustic, data)
        self.encoder, self.acoustic = encoder, acoustic.eval().requires_grad_(False)
        self.net = EncodedEar(
            replace(
                config or EarConfig(),
                dim=encoder.config.width,
                features=acoustic.config.width,
                spaces=(feature_space(acoustic),),
            )
        )
        clean = torch.cat([clip.heard[0].float() for clip in clips])
        wanted = torch.cat([clip.features for clip in clips])
        for name, rows in (("", clean), ("feature_", wanted)):
            getattr(self.net, f"{name}mean").copy_(rows.mean(0))
            getattr(self.net, f"{name}std").copy_(rows.std(0) + 1e-3)
        self.modules: dict[str, nn.Module] = {EAR.name: self.net}
        self._clips, self._val = clips, val
        self.config: Mapping[str, Any] = {
            "ear": self.net.config.to_dict(),
            "whisper": encoder.config.to_dict(),
            "training": asdict(self.settings),
            "clips": len(clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument("--whisper", metavar="FILE", required=True, help="a converted Whisper, to hear by")
        parser.add_argument(
            "--blocks",
            type=above_zero(int),
            metavar="N",
            help="keep the first N blocks of --whisper alone (default: all)",
        )
        parser.add_argument(
            "--window",
            type=above_zero(float),
            metavar="SECONDS",
            help="what it hears at once, 2 to 30 (default: as --whisper does); less costs less",
        )
        add_sounds(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        acoustic = load_acoustic(args.acoustic)
        check_labels(acoustic)
        encoder = build(read_checkpoint(find_checkpoint(args.whisper), SYSTEM), WHISPER)
        encoder = first_blocks(encoder, args.blocks or encoder.config.blocks, _steps(args.window, encoder))
        front = WhisperFeatures(encoder)
        folders = sounds_of(args)
        clips = [
            clip
            for number, folder in enumerate(folders)
            for clip in hear_voices(folder, front, acoustic, SOUND_VERSIONS, args.seed + number)
        ]
        held_out = held_out_of(args)
        val = hear_voices(held_out, front, acoustic) if held_out else ()
        settings = EarTraining()
        settings = replace(settings, clips=args.batch_size or settings.clips)
        return Plan(cls(clips, encoder, acoustic, None, val, settings, named(folders)), TRAINING, STEPS)

    def prepare(self, device: torch.device) -> None:
        self.acoustic.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        chosen = draw_clips(rng, len(self._clips), self.settings.clips)
        return windows([self._clips[i] for i in chosen], self.settings.frames, rng)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        heard = (batch["heard"] - self.net.mean) / self.net.std
        return ear_losses(
            self.net, self.acoustic, heard + self.settings.noise * torch.randn_like(heard), batch, self.settings
        )

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The opening over time in four clips, held out where there are such: the truth in grey, what is heard in
        black."""
        known = [clip for clip in (*self._val, *self._clips) if clip.mouth is not None]
        return opening_curves(cast(EncodedEar, modules[EAR.name]), self.acoustic, (known * 4)[:4])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = cast(EncodedEar, ema_modules[EAR.name])
        measured = {"measured": ear_errors(net, self.acoustic, self._val)} if self._val else {}
        parts: dict[str, nn.Module] = {WHISPER.name: self.encoder, EAR.name: net}
        configs = {WHISPER.name: self.encoder.config.to_dict(), EAR.name: net.config.to_dict()}
        save_checkpoint(path, SYSTEM, parts, configs, {**provenance, **measured}, torch.float16)


def ear_losses(
    net: EncodedEar, acoustic: AcousticModel, heard: Tensor, batch: Batch, settings: EarTraining
) -> dict[str, Tensor]:
    """The terms and their weighted sum of what an ear makes of an encoder's frames heard [B,T,steps * dim], normalised;
    the batch's targets are those of `windows`."""
    real, known = batch["real"], batch["has_mouth"]
    made = net.normalised(heard).float()
    wanted = (batch["features"] - net.feature_mean) / net.feature_std
    features = made * net.feature_std + net.feature_mean
    error = acoustic.mouth(features).float() - batch["mouth"]
    terms = {
        "features": masked_mean((made - wanted).square(), real),
        "visemes": viseme_loss(acoustic.viseme(features), batch["visemes"]),
        "mouth": masked_mean(error.square(), known),
        "opening": masked_mean(error[..., -1].square(), known),
        "velocity": masked_mean(error.diff(dim=1).square(), known[:, 1:] * known[:, :-1]),
    }
    total = sum(getattr(settings, name) * value for name, value in terms.items())
    return {"loss": total, **terms}


@torch.no_grad()
def ear_errors(net: EncodedEar, acoustic: AcousticModel, clips: Sequence[HeardClip]) -> dict[str, float]:
    """How well clean sounds are heard, means over clips, as `acoustic_errors` measures: opening: correlation with the
    truth; spread: its deviation by the truth's; visemes: share of frames whose sound is right."""
    found: dict[str, list[float]] = {"opening": [], "spread": [], "visemes": []}
    for clip in clips:
        features = net(clip.heard[:1].to(net.mean)).to(acoustic.mouth_mean)
        if clip.mouth is not None:
            heard, truth = acoustic.mouth(features)[0, :, -1].float().cpu(), clip.mouth[:, -1]
            if truth.std() > 0 and heard.std() > 0:
                found["opening"].append(float(torch.corrcoef(torch.stack([heard, truth]))[0, 1]))
                found["spread"].append(float(heard.std() / truth.std()))
        if (known := clip.visemes != IGNORE).any():
            right = acoustic.viseme(features)[0].argmax(-1).cpu() == clip.visemes
            found["visemes"].append(float(right[known].float().mean()))
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def check_mouths(clips: Sequence[HeardClip], acoustic: AcousticModel, data: str) -> None:
    """Raises InputError for clips of which none has a mouth like the acoustic model's."""
    if not any(clip.mouth is not None for clip in clips):
        raise InputError(
            f"{data}: no clip's truth has the {acoustic.config.mouths} mouth values of the acoustic model."
        )


@torch.no_grad()
def opening_curves(net: EncodedEar, acoustic: AcousticModel, clips: Sequence[HeardClip]) -> NDArray[np.uint8]:
    """The opening over time in clips whose mouth is known: the truth in grey, what is heard in black."""
    rows = []
    for clip in clips:
        heard = acoustic.mouth(net(clip.heard[:1].to(net.mean)).to(acoustic.mouth_mean))[0, :, -1]
        assert clip.mouth is not None
        rows.append(plot_curves([clip.mouth[:, -1], heard.float().cpu()]))
    return np.concatenate(rows)


def _steps(seconds: float | None, encoder: WhisperEncoder) -> int | None:
    """Of a window of so long, in whole frames. Raises InputError."""
    if seconds is None:
        return None
    frame = EarConfig().steps
    least, most = (steps / float(WhisperFeatures.rate) for steps in (LEAST_STEPS, encoder.config.steps))
    if not least <= seconds <= most:
        raise InputError(f"--window {seconds:g}: this Whisper hears {least:g} to {most:g} seconds at once")
    return round(seconds * WhisperFeatures.rate / frame) * frame


def add_sounds(parser: argparse.ArgumentParser) -> None:
    """What ears learn of besides --data."""
    parser.add_argument("--acoustic", metavar="NAME|FILE", default="landmark_tiny", help="whose features to give")
    parser.add_argument("--voices", metavar="DIR", action="append", help="more sounds with truth; repeatable")
    parser.add_argument("--val", metavar="DIR", help="sounds with truth to measure at the end (default: DIR/val)")


def sounds_of(args: argparse.Namespace) -> list[Path]:
    """The folders to train on."""
    data = Path(args.data).absolute()
    return [_split(data, "train") or data, *(Path(folder).absolute() for folder in args.voices or ())]


def held_out_of(args: argparse.Namespace) -> Path | None:
    """The folder to measure on, if any."""
    return Path(args.val) if args.val else _split(Path(args.data).absolute(), "val")


def named(folders: Sequence[Path]) -> str:
    """The sets among them, each once."""
    return ", ".join(dict.fromkeys(f"{folder.parent.name}/{folder.name}" for folder in folders))


def _split(folder: Path, name: str) -> Path | None:
    """A split of a set, where the folder has such."""
    return folder / name if (folder / name).is_dir() else None
