"""The recipe `landmark-completion`: trains the landmarks of jaw and lips on clips with true landmarks.

    python -m talkface_core train landmark-completion --data SET/train --voices MORE/train --acoustic FILE --out RUN

Source: landmark diffusion (Zhong et al., arXiv 2408.05416), the stage before the end-to-end one. No picture is decoded.
The acoustic model is frozen, and what it hears in several variants of each clip's sound is computed once; or, with
`--joint`, it is trained along, which is for a second run that begins with the first one's weights. `--preset base`
trains IP_LAP's layout on the 68 points of our tracks: it hears windows of the log-mel, and no acoustic model.
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

from ...acoustic.encoded_ear import heard_settings
from ...acoustic.hearing import DEFAULT_EAR, NO_EAR
from ...acoustic.losses import viseme_loss
from ...acoustic.model import ACOUSTIC, AcousticModel, load_acoustic
from ...acoustic.training_by_ear import add_ear, ear_of, with_ear
from ...acoustic.training_features import VARIANTS, HeardFeatures, heard_features
from ...checkpoints import save_checkpoint
from ...datasets.labelled_sounds import read_voices
from ...datasets.sounds import SOUND_VERSIONS
from ...errors import InputError
from ...faces.landmarks import mouth_opening
from ...media.timebase import FPS
from ...speech.features import LogMel
from ...speech.mel_windows import WINDOW, mel_windows
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.curves import plot_curves
from ...training.recipe import Batch, Plan, Recipe
from ..completion import COMPONENT, CompletionConfig, LandmarkCompletion
from ..completion_stream import CompletionModel
from ..landmarks import IBUG_68, SYSTEM
from .completion_batches import CompletionBatches, CompletionSampler, LandmarkClip, read_landmark_clips
from .completion_hearing import AROUND, WindowSounds, windows_within
from .completion_losses import CompletionWeights, completion_losses, sum_of
from .completion_scores import LandmarkScores, completed, completion_scores
from .completion_variety import TEMPOS, at_tempo, faceless

TRAINING = TrainConfig(
    lr=1e-3,
    schedule="cosine",
    warmup=100,
    final_lr=0.02,
    beta2=0.98,
    weight_decay=0.03,
    ema_decay=0.998,
    precision="auto",
)
STEPS = 4000
BASE = TrainConfig(lr=1e-4, schedule="cosine", warmup=1000, ema_decay=0.999, precision="auto")
BASE_STEPS = 100_000
JOINT = replace(TRAINING, lr=3e-4)
JOINT_STEPS = 2000


@dataclass(frozen=True)
class Variation:
    """What `--vary` changes against over-fitting to few voices: dropout of the completion and of the acoustic model,
    extra weight of closures, weight of visemes."""

    dropout: float = 0.2
    hearing: float = 0.25
    closure: float = 8.0
    visemes: float = 0.6


VARIED = Variation()


class CompletionRecipe(Recipe):
    """Train a `LandmarkCompletion` that hears an acoustic model, which is frozen or, `joint`, trained along, or one of
    the published layout, without an acoustic model. `val`, other people, is measured at the end."""

    name = "landmark-completion"

    def __init__(
        self,
        clips: Sequence[LandmarkClip],
        acoustic: AcousticModel | None,
        config: CompletionConfig | None = None,
        val: Sequence[LandmarkClip] = (),
        batches: CompletionBatches | None = None,
        weights: CompletionWeights | None = None,
        variants: int = VARIANTS,
        data: str = "clips",
        seed: int = 0,
        joint: bool = False,
    ) -> None:
        """Raises InputError for a network that hears anything else."""
        config = config or CompletionConfig()
        self.settings, self.weights, self.data = batches or CompletionBatches(), weights or CompletionWeights(), data
        self.acoustic, self.joint = acoustic, joint
        mels, speech = [clip.mels for clip in clips], [clip.speech for clip in clips]
        heard: HeardFeatures | WindowSounds
        if config.published:
            if acoustic is not None or config.mel_shift:
                raise InputError(
                    "the published layout is trained on the log-mel, unshifted, without an acoustic model."
                )
            self.settings = replace(self.settings, frames=config.frames, references=config.references)
        elif acoustic is None or config.front is not None or config.fps != acoustic.config.fps:
            raise InputError("the completion is trained on features of an acoustic model at its own rate.")
        else:
            acoustic.eval().requires_grad_(joint)
            acoustic.mouth.requires_grad_(False)  # the landmarks take its place
            config = replace(config, audio=acoustic.config.width)
        self.net = LandmarkCompletion(config)
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        if acoustic is None or joint:
            heard = WindowSounds(mels, speech, self.settings.frames, seed)
        else:
            heard = hear_clips(acoustic, clips, variants, seed)
        if acoustic is not None and joint:
            self.modules[ACOUSTIC.name] = acoustic
        self._val = val
        self.sampler = CompletionSampler(clips, heard, self.settings, self.net.landmarks)
        self.config: Mapping[str, Any] = {
            "completion": self.net.config.to_dict(),
            "acoustic": heard_settings(acoustic),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "variants": variants,
            "joint": joint,
            "clips": len(clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        parser.add_argument("--acoustic", metavar="NAME|FILE", help="the acoustic model that tiny hears")
        parser.add_argument("--joint", action="store_true", help="train the acoustic model along")
        parser.add_argument("--voices", metavar="DIR", action="append", help="more folders of clips; repeatable")
        parser.add_argument(
            "--sounds", metavar="DIR", help="with --joint: labelled sounds without faces, to learn to hear"
        )
        parser.add_argument(
            "--vary", action="store_true", help="with --joint: other tempos, more dropout, closures count double"
        )
        add_ear(parser)
        parser.add_argument("--val", metavar="DIR", help="clips to measure at the end (default: DIR/val)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        tiny, data = args.preset == "tiny", Path(args.data).absolute()
        if tiny != (args.acoustic is not None) or (args.joint and not tiny):
            raise InputError(
                "--preset tiny needs --acoustic: landmark_tiny, or what train acoustic made; base takes neither that "
                "nor --joint."
            )
        folders = [data / "train" if (data / "train").is_dir() else data]
        folders += [Path(folder).absolute() for folder in args.voices or ()]
        acoustic = load_acoustic(args.acoustic) if tiny else None
        # One that is trained along would part from the features that an ear has learnt.
        ear = ear_of(NO_EAR if args.joint and args.ear == DEFAULT_EAR else args.ear, acoustic)
        if args.joint and ear is not None:
            raise InputError("--ear goes with an acoustic model that is not trained along: leave --joint or --ear out.")
        clips = []
        for n, folder in enumerate(folders):
            clips += read_landmark_clips(folder, SOUND_VERSIONS, args.seed + n, ear, acoustic)
        held_out = args.val or (data / "val" if (data / "val").is_dir() else None)
        val = read_landmark_clips(held_out) if held_out else []
        batches = CompletionBatches()
        batches = replace(batches, windows=args.batch_size or batches.windows)
        config = replace(CompletionConfig.preset(args.preset), landmarks=IBUG_68.name)
        weights, plan = CompletionWeights(), (JOINT, JOINT_STEPS)
        if (args.vary or args.sounds) and not args.joint:
            raise InputError("--vary and --sounds go with --joint: a frozen acoustic model learns nothing of them.")
        if args.vary:
            clips += [at_tempo(clip, tempo) for clip in clips for tempo in TEMPOS]
            config, acoustic = replace(config, dropout=VARIED.dropout), with_dropout(acoustic, VARIED.hearing)
            batches, weights = replace(batches, closure=VARIED.closure), replace(weights, visemes=VARIED.visemes)
            plan = (replace(JOINT, lr=5e-4, weight_decay=0.05), JOINT_STEPS)
        if args.sounds:
            clips += faceless(read_voices(args.sounds, SOUND_VERSIONS, args.seed + len(folders)), clips)
        names = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in folders)
        recipe = cls(clips, acoustic, config, val, batches, weights, data=names, seed=args.seed, joint=args.joint)
        recipe.config = {**recipe.config, "ear": None if ear is None else args.ear}
        if not tiny:
            return Plan(recipe, BASE, BASE_STEPS)
        return Plan(recipe, *plan) if args.joint else Plan(recipe, TRAINING, STEPS)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch = self.sampler.batch(rng)
        if isinstance(self.sampler.heard, WindowSounds):
            batch["audio"] = self.sampler.heard.augmented(batch["audio"], rng)
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        known, audio, frames = self.net.landmarks, batch["audio"], batch["truth"].shape[1]
        terms = {}
        if self.acoustic is None:
            audio = windows_within(audio, frames)
        elif self.joint:
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
        heard = hear_clips(model.acoustic, clips)
        for k in np.arange(4) % len(clips):
            made = mouth_opening(completed(model, clips[k], heard, int(k)))
            rows.append(plot_curves([torch.from_numpy(mouth_opening(clips[k].points.numpy())), torch.from_numpy(made)]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        model = self._model(ema_modules)
        with torch.no_grad():
            scores = completion_scores(model, self._val, hear_clips(model.acoustic, self._val))
        measured = {"measured": LandmarkScores.mean(scores)} if scores else {}
        parts: dict[str, LandmarkCompletion | AcousticModel] = {COMPONENT: model.completion}
        if model.acoustic is not None:
            parts[ACOUSTIC.name] = model.acoustic
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        save_checkpoint(path, SYSTEM, parts, configs, {**provenance, **measured}, torch.float16)

    def _model(self, modules: dict[str, nn.Module]) -> CompletionModel:
        """What is run outside training; with the averaged acoustic model where it is trained."""
        acoustic = cast(AcousticModel | None, modules.get(ACOUSTIC.name, self.acoustic))
        return CompletionModel(cast(LandmarkCompletion, modules[COMPONENT]), acoustic)


def hear_clips(
    acoustic: AcousticModel | None, clips: Sequence[LandmarkClip], variants: int = 1, seed: int = 0
) -> HeardFeatures:
    """What an acoustic model hears in each clip; None: windows of the clean log-mel, as features [1,T,80,16]."""
    if acoustic is None:
        windows = [mel_windows(clip.mels[0], range(clip.frames), FPS)[None, :, 0] for clip in clips]
        return HeardFeatures(windows, torch.full((LogMel.dim, WINDOW), LogMel.SILENCE))
    frames, speech = [clip.frames for clip in clips], [clip.speech for clip in clips]
    heard = heard_features(acoustic, [clip.mels for clip in clips], frames, speech, variants, seed)
    return with_ear(heard, [clip.by_ear for clip in clips])


def with_dropout(acoustic: AcousticModel, dropout: float) -> AcousticModel:
    """The same acoustic model with another dropout."""
    changed = AcousticModel(replace(acoustic.config, dropout=dropout))
    changed.load_state_dict(acoustic.state_dict())
    return changed
