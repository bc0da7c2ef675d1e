"""The recipe `acoustic`: trains the acoustic model on sounds with labels.

    python -m talkface_core train acoustic --data SET/train --voices MORE --out RUN

Cross-entropy of the visemes, mean squared error of the mouth's blendshapes, in which the opening counts as much as all
together, and of its change from frame to frame. No picture is read, so real voices on rendered people serve as well as
any.

With `--like NAME` it learns to give the features that another acoustic model has, so that whatever hears those hears
it: that model's layers which read visemes and mouths are taken and kept. With `--ear FILE` they are taught as a better
ear hears them (`training_teacher.py`), of the labelled sounds and of sounds without labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import save_checkpoint
from ..datasets.labelled_sounds import SpeechClip, read_unlabelled, read_voices
from ..datasets.labels import IGNORE, VISEMES
from ..datasets.sounds import SOUND_VERSIONS
from ..errors import InputError
from ..speech.vad import GateConfig
from ..training.arguments import add_batch_size, add_preset
from ..training.config import TrainConfig
from ..training.curves import plot_curves
from ..training.recipe import Batch, Plan, Recipe
from .hearing import load_ear
from .losses import masked_mean, viseme_loss
from .model import COMPONENT, PRESSED, SYSTEM, AcousticConfig, AcousticModel, AcousticOutput, load_acoustic
from .training_batches import LabelledSpeechBatches, MouthScale, Padded, SpeechWindows, draw_clips
from .training_teacher import Teacher

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
TRAINING["small"] = TRAINING["tiny"]
STEPS = {"tiny": 3000, "small": 3000, "base": 100_000}


@dataclass(frozen=True)
class AcousticTraining:
    """clips: windows in a batch; labelled: the share of them that have labels, where some have none; windows: how they
    are drawn; visemes, mouth, opening, velocity: weights of the losses; `features` of those that are taught and `told`
    of what is read of them: visemes and mouths."""

    clips: int = 12
    labelled: float = 0.34
    windows: SpeechWindows = field(default_factory=lambda: SpeechWindows(frames=100, gated=0.4, silence=0.2))
    visemes: float = 0.3
    mouth: float = 1.0
    opening: float = 1.0
    velocity: float = 0.5
    features: float = 1.0
    told: float = 1.0


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
        teacher: Teacher | None = None,
    ) -> None:
        """`teacher`: who taught the clips their latents. Raises InputError for clips of which none has a mouth, or the
        teacher's kind of mouth."""
        self.settings, self.data = training or AcousticTraining(), data
        if not any(clip.mouth is not None for clip in clips):
            raise InputError(f"{data}: no clip's truth has blendshapes or landmarks; the acoustic model needs mouths.")
        like = None if teacher is None else teacher.acoustic
        if like is not None:
            mouths = next(clip.mouth.shape[1] for clip in clips if clip.mouth is not None)
            if like.config.mouths != mouths:
                raise InputError(
                    f"{data}: mouths of {mouths} values, and the acoustic model that it is to be like tells "
                    f"{like.config.mouths}: give another, or other voices first."
                )
        scale = MouthScale.of(clips, None if like is None else (like.mouth_mean, like.mouth_std))
        self.net = AcousticModel(replace(config or AcousticConfig(), visemes=len(VISEMES), mouths=len(scale.mean)))
        self.net.mouth_mean.copy_(scale.mean)
        self.net.mouth_std.copy_(scale.std)
        if like is not None:
            for own, theirs in ((self.net.viseme, like.viseme), (self.net.mouth, like.mouth)):
                own.load_state_dict(theirs.state_dict())
                own.requires_grad_(False)
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self._clips, self._val = ([replace(clip, mouth=_mouth(clip, scale)) for clip in some] for some in (clips, val))
        self._labelled = [clip for clip in self._clips if clip.mouth is not None or clip.visemes is not None]
        self._unlabelled = [clip for clip in self._clips if clip.mouth is None and clip.visemes is None]
        taught = [clip.latents for clip in self._clips if clip.latents is not None]
        self._spread = torch.cat(taught).std(0).clamp_min(1e-3) if taught else torch.ones(self.net.config.width)
        drawn = (self.settings.windows, scale, GateConfig())
        self._batches = LabelledSpeechBatches(*drawn) if teacher is None else TaughtBatches(*drawn, teacher.silence)
        self.config: Mapping[str, Any] = {
            "acoustic": self.net.config.to_dict(),
            "training": asdict(self.settings),
            "clips": len(self._clips),
            "taught": None if teacher is None else teacher.settings(),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser, ("tiny", "small", "base"))
        add_batch_size(parser)
        parser.add_argument("--voices", metavar="DIR", action="append", help="more sounds with truth; repeatable")
        parser.add_argument("--like", metavar="NAME|FILE", help="an acoustic model whose features it is to give")
        parser.add_argument("--ear", metavar="FILE", help="with --like: a converted Whisper, which hears better")
        parser.add_argument(
            "--unlabelled", metavar="DIR", action="append", help="with --like: sounds without truth; repeatable"
        )
        parser.add_argument("--val", metavar="DIR", help="sounds with truth to measure at the end (default: DIR/val)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        teacher, config = _teacher(args), AcousticConfig.preset(args.preset)
        if teacher is not None:
            config = replace(config, width=teacher.acoustic.config.width, fps=teacher.acoustic.config.fps)
        data = Path(args.data).absolute()
        labelled = [_split(data, "train") or data, *(Path(folder).absolute() for folder in args.voices or ())]
        folders = [*labelled, *(Path(folder).absolute() for folder in args.unlabelled or ())]
        if missing := [folder for folder in folders if not folder.is_dir()]:  # before hours of sound are heard
            raise InputError(f"{missing[0]} is no folder; give one with sounds.")
        clips: list[SpeechClip] = []
        for number, folder in enumerate(folders):
            # Many sounds vary by themselves; noises and rooms take longer to make than a teacher takes to hear.
            known = number < len(labelled)
            heard = read_voices(folder, SOUND_VERSIONS, args.seed + number) if known else read_unlabelled(folder)
            clips += heard if teacher is None else teacher.taught(folder, heard, args.cache, args.quiet)
        settings = AcousticTraining()
        settings = replace(
            settings,
            clips=args.batch_size or settings.clips,
            windows=replace(settings.windows, seed=args.seed),
        )
        held_out = args.val or _split(data, "val")
        val = read_voices(held_out) if held_out else ()
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in folders)
        return Plan(
            cls(clips, config, val, settings, names, teacher),
            TRAINING[args.preset],
            STEPS[args.preset],
        )

    def prepare(self, device: torch.device) -> None:
        self._spread = self._spread.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """Windows of clips with labels and without, each clip of its kind as often as the others."""
        kinds = [clips for clips in (self._labelled, self._unlabelled) if clips]
        first = self.settings.clips if len(kinds) == 1 else round(self.settings.labelled * self.settings.clips)
        counts = (first, self.settings.clips - first)
        chosen = [clips[i] for clips, n in zip(kinds, counts, strict=False) for i in draw_clips(rng, len(clips), n)]
        return self._batches.windows(chosen, rng)

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
        if "heard" in batch:
            known, taught = batch["has_heard"], batch["heard"]
            away = (output.features.float() - taught) / self._spread
            terms["features"] = masked_mean(away.square(), known)
            terms["told"] = self._told(output, taught, known)
        total = sum(getattr(settings, name) * value for name, value in terms.items())
        return {"loss": total, **terms}

    def _told(self, output: AcousticOutput, taught: Tensor, known: Tensor) -> Tensor:
        """How far what is read of the features is from what is read of those that are taught."""
        with torch.no_grad():
            visemes, mouth = self.net.viseme(taught).float().log_softmax(-1), self.net.mouth(taught).float()
        said = F.kl_div(output.visemes.float().log_softmax(-1), visemes, reduction="none", log_target=True).sum(-1)
        error = (output.mouth.float() - mouth).square()
        weight = known * (1 + self.settings.windows.closure * visemes[..., PRESSED].exp())
        return masked_mean(self.settings.visemes * said + error.mean(-1) + error[..., -1], weight)

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
    """Windows that also hold the clips' latents as `heard` [B,T,W] with the weight has_heard [B,T]: 0 where somebody is
    known not to speak, and about a silence that was cut in. In that silence they are `silence` [W]."""

    JUDGED = (*LabelledSpeechBatches.JUDGED, "has_heard")

    def __init__(self, settings: SpeechWindows, scale: MouthScale | None, gate: GateConfig, silence: Tensor) -> None:
        super().__init__(settings, scale, gate)
        self.silence = silence

    def _tracks(self, clip: SpeechClip, padded: Padded, real: Tensor) -> dict[str, Tensor]:
        known = torch.ones(clip.frames) if clip.speech is None else clip.speech.float()
        known = padded(known if clip.latents is not None else None, 0.0, nearest=True)
        return {"heard": padded(clip.latents, 0.0, tuple(self.silence.shape)), "has_heard": known * real}

    def _close(self, item: dict[str, Tensor], inside: slice) -> None:
        item["heard"][inside] = self.silence
        item["has_heard"][inside] = 1.0


def _teacher(args: argparse.Namespace) -> Teacher | None:
    """Whoever teaches. Raises InputError where it is not said whose features are taught."""
    if args.like is None:
        given = next((flag for flag, value in (("--ear", args.ear), ("--unlabelled", args.unlabelled)) if value), None)
        if given is not None:
            raise InputError(f"{given} teaches the features of an acoustic model: name it by --like, as landmark_tiny.")
        return None
    return Teacher(load_acoustic(args.like).eval(), None if args.ear is None else load_ear(args.ear))


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
