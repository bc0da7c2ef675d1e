"""The recipe `landmark-completion`: trains the landmarks of jaw and lips on clips with true landmarks.

    python -m talkface_core train landmark-completion --data SET/train --voices MORE/train --acoustic FILE --out RUN

Source: landmark diffusion (Zhong et al., arXiv 2408.05416), the stage before the end-to-end one. No picture is decoded.
The acoustic model is frozen, and what it hears in several variants of each clip's sound is computed once; or, with
`--joint`, it is trained along, which is for a second run that begins with the first one's weights.
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

from ...acoustic.losses import viseme_loss
from ...acoustic.model import ACOUSTIC, AcousticModel, load_acoustic
from ...acoustic.training_features import VARIANTS, HeardFeatures, heard_features
from ...checkpoints import save_checkpoint
from ...datasets.sounds import SOUND_VERSIONS
from ...errors import InputError
from ...faces.landmarks import mouth_opening
from ...training.arguments import add_batch_size
from ...training.config import TrainConfig
from ...training.curves import plot_curves
from ...training.recipe import Batch, Plan, Recipe
from ..completion import COMPONENT, CompletionConfig, LandmarkCompletion
from ..completion_stream import CompletionModel
from ..landmarks import SYSTEM
from .completion_batches import CompletionBatches, CompletionSampler, LandmarkClip, read_landmark_clips
from .completion_hearing import AROUND, WindowSounds
from .completion_losses import CompletionWeights, completion_losses, sum_of
from .completion_scores import LandmarkScores, completed, completion_scores

TRAINING = TrainConfig(
    lr=1e-3,
    schedule="cosine",
    warmup=100,
    final_lr=0.02,
    beta2=0.98,
    weight_decay=0.03,
    ema_decay=0.998,
    precision="bf16",
)
STEPS = 4000
JOINT = replace(TRAINING, lr=3e-4)
JOINT_STEPS = 2000


class CompletionRecipe(Recipe):
    """Train a `LandmarkCompletion` that hears an acoustic model, which is frozen or, `joint`, trained along; `val`,
    other people, is measured at the end."""

    name = "landmark-completion"

    def __init__(
        self,
        clips: Sequence[LandmarkClip],
        acoustic: AcousticModel,
        config: CompletionConfig | None = None,
        val: Sequence[LandmarkClip] = (),
        batches: CompletionBatches | None = None,
        weights: CompletionWeights | None = None,
        variants: int = VARIANTS,
        data: str = "clips",
        seed: int = 0,
        joint: bool = False,
    ) -> None:
        """Raises InputError for a network that hears no acoustic model."""
        config = config or CompletionConfig()
        if config.published or config.front is not None or config.fps != acoustic.config.fps:
            raise InputError("the completion is trained on features of an acoustic model at its own rate.")
        self.settings, self.weights, self.data = batches or CompletionBatches(), weights or CompletionWeights(), data
        self.acoustic, self.joint = acoustic.eval().requires_grad_(joint), joint
        acoustic.mouth.requires_grad_(False)  # the landmarks take its place
        self.net = LandmarkCompletion(replace(config, audio=acoustic.config.width))
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        heard: HeardFeatures | WindowSounds
        if joint:
            self.modules[ACOUSTIC.name] = acoustic
            mels, speech = [clip.mels for clip in clips], [clip.speech for clip in clips]
            heard = WindowSounds(mels, speech, self.settings.frames, seed)
        else:
            heard = hear_clips(acoustic, clips, variants, seed)
        self._val = val
        self.sampler = CompletionSampler(clips, heard, self.settings, self.net.landmarks)
        self.config: Mapping[str, Any] = {
            "completion": self.net.config.to_dict(),
            "acoustic": acoustic.config.to_dict(),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "variants": variants,
            "joint": joint,
            "clips": len(clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument("--acoustic", metavar="NAME|FILE", required=True, help="the acoustic model that is heard")
        parser.add_argument("--joint", action="store_true", help="train the acoustic model along")
        parser.add_argument("--voices", metavar="DIR", action="append", help="more folders of clips; repeatable")
        parser.add_argument("--val", metavar="DIR", help="clips to measure at the end (default: DIR/val)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        data = Path(args.data).absolute()
        folders = [data / "train" if (data / "train").is_dir() else data]
        folders += [Path(folder).absolute() for folder in args.voices or ()]
        clips = [c for n, f in enumerate(folders) for c in read_landmark_clips(f, SOUND_VERSIONS, args.seed + n)]
        held_out = args.val or (data / "val" if (data / "val").is_dir() else None)
        val = read_landmark_clips(held_out) if held_out else []
        batches = CompletionBatches()
        batches = replace(batches, windows=args.batch_size or batches.windows)
        acoustic = load_acoustic(args.acoustic)
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in folders)
        recipe = cls(clips, acoustic, None, val, batches, data=names, seed=args.seed, joint=args.joint)
        return Plan(recipe, JOINT, JOINT_STEPS) if args.joint else Plan(recipe, TRAINING, STEPS)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch = self.sampler.batch(rng)
        if isinstance(self.sampler.heard, WindowSounds):
            batch["audio"] = self.sampler.heard.augmented(batch["audio"], rng)
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        known, audio, frames = self.net.landmarks, batch["audio"], batch["truth"].shape[1]
        terms = {}
        if self.joint:
            heard = self.acoustic(audio, frames + 2 * AROUND)
            inside = slice(AROUND, AROUND + frames)
            audio = heard.features[:, inside]
            terms["visemes"] = viseme_loss(heard.visemes[:, inside], batch["visemes"])
        motion, rest = self.net.motion(audio, batch["landmarks"], batch["references"])
        terms |= completion_losses(rest + motion, batch["truth"], batch["weight"], known, self.weights)
        return {"loss": sum_of(terms, self.weights), **terms}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The opening over time in four clips, held out where there are such: the truth in grey, the completed one in
        black."""
        model, rows = self._model(modules), []
        clips = (*self._val, *self.sampler.clips)[:4]
        heard = hear_clips(self._ear(modules), clips)
        for k in np.arange(4) % len(clips):
            made = mouth_opening(completed(model, clips[k], heard, int(k)))
            rows.append(plot_curves([torch.from_numpy(mouth_opening(clips[k].points.numpy())), torch.from_numpy(made)]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net, acoustic = cast(LandmarkCompletion, ema_modules[COMPONENT]), self._ear(ema_modules)
        with torch.no_grad():
            scores = completion_scores(self._model(ema_modules), self._val, hear_clips(acoustic, self._val))
        measured = {"measured": LandmarkScores.mean(scores)} if scores else {}
        parts: dict[str, LandmarkCompletion | AcousticModel] = {COMPONENT: net, ACOUSTIC.name: acoustic}
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        save_checkpoint(path, SYSTEM, parts, configs, {**provenance, **measured}, torch.float16)

    def _model(self, modules: dict[str, nn.Module]) -> CompletionModel:
        """What is run outside training."""
        return CompletionModel(cast(LandmarkCompletion, modules[COMPONENT]), self._ear(modules))

    def _ear(self, modules: dict[str, nn.Module]) -> AcousticModel:
        """The acoustic model: the averaged one where it is trained."""
        return cast(AcousticModel, modules.get(ACOUSTIC.name, self.acoustic))


def hear_clips(
    acoustic: AcousticModel, clips: Sequence[LandmarkClip], variants: int = 1, seed: int = 0
) -> HeardFeatures:
    """What an acoustic model hears in each clip."""
    frames, speech = [len(clip) for clip in clips], [clip.speech for clip in clips]
    return heard_features(acoustic, [clip.mels for clip in clips], frames, speech, variants, seed)
