"""The recipe `wav2lip-hearing`: teaches a Wav2Lip that hears the log-mel to hear an acoustic model beside it.

    python -m talkface_core train wav2lip-hearing --data SET --voices MORE --lips WAV2LIP --acoustic FILE --out RUN

Source: ours, a distillation (Hinton et al. 2015) of the speech side alone. Both ears' vectors are mixed to one; the
picture side stays as it is, so what is learnt are the vectors by which it was driven: in voices that the former ear
knows (`data`) those that it has of the same frames, and in all voices those off which a linear readout tells the lips.
In voices that it does not know (`voices`) its vectors are no model: they drove pictures wrong, although they told lips.
No picture is computed, so an hour of voices takes minutes.
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

from ..acoustic.encoded_ear import feature_space, heard_settings
from ..acoustic.model import ACOUSTIC, AcousticModel, load_acoustic
from ..acoustic.training_by_ear import add_ear, ear_of
from ..acoustic.training_features import VARIANTS
from ..checkpoints import CheckpointError, find_checkpoint, read_checkpoint, save_checkpoint
from ..correlation import pearson
from ..datasets.clips import open_splits
from ..datasets.sounds import SOUND_VERSIONS
from ..datasets.talking_faces import TalkingFaces, open_talking_faces
from ..speech.features import LogMel
from ..speech.mel_windows import WINDOW
from ..training.arguments import add_batch_size
from ..training.config import TrainConfig
from ..training.curves import plot_curves
from ..training.recipe import Batch, Plan, Recipe
from .model import build_wav2lip_model
from .training_hearing import hear_lips, joined, lips_by_ear
from .wav2lip import COMPONENT, SYSTEM, Wav2Lip

TRAINING = TrainConfig(
    lr=3e-3, schedule="cosine", warmup=100, final_lr=0.02, beta2=0.99, weight_decay=1e-2, ema_decay=0.99
)
STEPS = 2000

_HEARS_ALREADY = "they hear an acoustic model already; give lips that hear the log-mel, or both, by this one."
_RIDGE = 10.0
_CONSTANT = 1e-3  # deviation of a value that hardly varies
_LEAST = 0.05  # share that a voice has at least of the vectors' loss


@dataclass(frozen=True)
class HearingTraining:
    """frames: in a batch, of any clips; silent: frames of silence beside them; features_noise, vectors_noise: what is
    added to either ear, by its deviation: without it the former ear alone would do; vectors, lips, silence: weights of
    the losses: against the former ear's vectors, by their deviation; against the lips' shapes, by theirs; of silence.
    """

    frames: int = 1024
    silent: int = 48
    features_noise: float = 0.3
    vectors_noise: float = 4.0
    vectors: float = 1.0
    lips: float = 0.5
    silence: float = 0.1


class HearingRecipe(Recipe):
    """Teach the speech encoder of a `Wav2Lip` the features of a frozen `acoustic` model; `lips` hears the log-mel, or
    both, which it then learns further.

    data: voices that `lips` hears well; voices: others. `val`, other people, is drawn in the samples. Raises
    CheckpointError for lips that hear an acoustic model alone, or one of another width.
    """

    name = "wav2lip-hearing"

    def __init__(
        self,
        data: TalkingFaces,
        lips: Wav2Lip,
        acoustic: AcousticModel,
        voices: Sequence[TalkingFaces] = (),
        val: TalkingFaces | None = None,
        training: HearingTraining | None = None,
        variants: int = VARIANTS,
        seed: int = 0,
        by_ear: Sequence[Sequence[Tensor]] = (),
    ) -> None:
        """by_ear: what an ear hears in the acoustic model's place, of each set and in it of each clip [E,T,W]."""
        if lips.config.acoustic and not _goes_on(lips, acoustic):
            raise CheckpointError(f"lips: {_HEARS_ALREADY}")
        self.settings, self.data = training or HearingTraining(), data.name
        self.acoustic = acoustic.eval().requires_grad_(False)
        former = _former(lips).eval().requires_grad_(False)
        closing = lips.config.closing
        self.net = Wav2Lip(replace(former.config, acoustic=acoustic.config.width, also_mel=True, closing=closing))
        kept = {name.replace("speech_encoder.", "mel_encoder."): value for name, value in former.state_dict().items()}
        begun = lips.state_dict() if lips.config.acoustic else {}
        self.net.load_state_dict({**self.net.state_dict(), **begun, **kept})
        self.net.requires_grad_(False).speech_encoder.requires_grad_(True)
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        ears = by_ear or [() for _ in (data, *voices)]
        sets = [
            hear_lips(one, former, self.acoustic, variants, seed, of)
            for one, of in zip((data, *voices), ears, strict=True)
        ]
        self._clips = joined(sets)
        self._held = self._clips if val is None else hear_lips(val, former, self.acoustic, 1, seed)
        with torch.no_grad():
            quiet = torch.full((1, 1, LogMel.dim, WINDOW), LogMel.SILENCE)
            self._quiet = former.encode_speech(quiet).flatten(1)
        every = torch.cat(self._clips.vectors).float()
        self._scale = every.std(0).clamp_min(_CONSTANT)
        self._feature_scale = torch.cat([one[0] for one in self._clips.features]).float().std(0)
        shapes = torch.cat(self._clips.lips)
        told = _read(_readout(every, shapes), every).split([len(one) for one in self._clips.lips])
        agree = [max(_agreement(*pair), _LEAST) for pair in zip(told, self._clips.lips, strict=True)]
        shares = [torch.full((len(one),), share) for one, share in zip(self._clips.lips, agree, strict=True)]
        self._readout = _readout(every, shapes, torch.cat(shares))
        known = len(sets[0].lips)
        self._trust = [*agree[:known], *(0.0 for _ in agree[known:])]
        self.config: Mapping[str, Any] = {
            "wav2lip": self.net.config.to_dict(),
            "acoustic": heard_settings(acoustic),
            "training": asdict(self.settings),
            "clips": len(self._clips.lips),
            "voices": [one.name for one in voices],
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument(
            "--lips", metavar="NAME|FILE", required=True, help="a Wav2Lip that hears the log-mel, or both"
        )
        parser.add_argument("--acoustic", metavar="NAME|FILE", default="landmark_tiny", help="default: landmark_tiny")
        parser.add_argument(
            "--voices", metavar="DIR", action="append", help="talking faces whose voices --lips hears badly; repeatable"
        )
        add_ear(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        checkpoint = read_checkpoint(find_checkpoint(args.lips), SYSTEM)
        known = build_wav2lip_model(checkpoint)
        acoustic = load_acoustic(args.acoustic)
        # All before hours of footage are decoded.
        other = known.acoustic is not None and feature_space(known.acoustic) != feature_space(acoustic)
        if known.wav2lip.config.acoustic and (other or not _goes_on(known.wav2lip, acoustic)):
            raise CheckpointError(f"--lips {args.lips}: {_HEARS_ALREADY}")
        # With its BatchNorms, which inference folds and training needs.
        lips = checkpoint.load_into(Wav2Lip(known.wav2lip.config), COMPONENT)
        ear, folders = ear_of(args.ear, acoustic), (args.data, *(args.voices or ()))
        for folder in folders:
            open_splits(folder)
        opened = [
            open_talking_faces(folder, lips.config.size, args.cache, SOUND_VERSIONS, args.seed, args.quiet)
            for folder in folders
        ]
        (data, val), voices = opened[0], [one for one, _ in opened[1:]]
        settings = HearingTraining()
        settings = replace(settings, frames=args.batch_size or settings.frames)
        by_ear = (
            []
            if ear is None
            else [lips_by_ear(ear, acoustic, *pair, args.seed) for pair in zip(folders, (data, *voices), strict=True)]
        )
        recipe = cls(data, lips, acoustic, voices, val, settings, seed=args.seed, by_ear=by_ear)
        heard_by = None if ear is None else args.ear
        recipe.config = {**recipe.config, "lips": Path(args.lips).stem, "ear": heard_by}
        return Plan(recipe, TRAINING, STEPS)

    def prepare(self, device: torch.device) -> None:
        for name in ("_quiet", "_scale", "_feature_scale", "_readout"):
            setattr(self, name, getattr(self, name).to(device))

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """features [N,W], vectors [N,D] and lips [N,3] of N frames, how far to trust each one's vector [N], and the
        features of `settings.silent` silent ones."""
        clips, parts = self._clips, []
        counts = np.bincount(rng.integers(len(clips.lips), size=self.settings.frames), minlength=len(clips.lips))
        for clip in counts.nonzero()[0].tolist():
            frames = torch.from_numpy(rng.integers(len(clips.lips[clip]), size=int(counts[clip])))
            variant = int(rng.integers(len(clips.features[clip])))
            parts.append(
                (
                    clips.features[clip][variant, frames].float(),
                    clips.vectors[clip][frames].float(),
                    clips.lips[clip][frames],
                    torch.full((len(frames),), self._trust[clip]),
                )
            )
        names = ("features", "vectors", "lips", "trust")
        batch = {name: torch.cat(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}
        return {**batch, "silence": clips.silence.float().expand(self.settings.silent, -1)}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        settings, features, vectors = self.settings, batch["features"], batch["vectors"]
        quiet = self._quiet.expand(len(batch["silence"]), -1)
        made = self._mixed(
            self.net,
            torch.cat(
                [
                    features + settings.features_noise * self._feature_scale * torch.randn_like(features),
                    batch["silence"],
                ]
            ),
            torch.cat([vectors + settings.vectors_noise * self._scale * torch.randn_like(vectors), quiet]),
        )
        made, still = made.split([len(features), len(quiet)])
        apart = ((made - vectors) / self._scale).square().mean(1)
        terms = {
            "vectors": (apart * batch["trust"]).mean(),
            "lips": (_read(self._readout, made) - batch["lips"]).square().mean(),
            "silence": ((still - quiet) / self._scale).square().mean(),
        }
        total = sum(getattr(settings, name) * value for name, value in terms.items())
        return {"loss": total, **terms}

    def _mixed(self, net: Wav2Lip, features: Tensor, vectors: Tensor) -> Tensor:
        """The vectors [N,D] that both ears make."""
        return net.speech_encoder(torch.cat([vectors, features], 1)[..., None, None]).flatten(1).float()

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The lips' gap over time in four clips, held out where there are such: the truth in grey, what the vectors
        tell in black."""
        net, rows = cast(Wav2Lip, modules[COMPONENT]), []
        shown = list(zip(self._held.features, self._held.vectors, self._held.lips, strict=True))
        for features, vectors, lips in (shown * 4)[:4]:
            heard = (features[0].to(self._readout), vectors.to(self._readout))
            told = _read(self._readout, self._mixed(net, *heard))
            rows.append(plot_curves([lips[:, 0], told[:, 0].float().cpu()]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        parts: dict[str, nn.Module] = {COMPONENT: ema_modules[COMPONENT], ACOUSTIC.name: self.acoustic}
        configs = {COMPONENT: self.net.config.to_dict(), ACOUSTIC.name: self.acoustic.config.to_dict()}
        save_checkpoint(path, SYSTEM, parts, configs, provenance, torch.float16)


def _goes_on(lips: Wav2Lip, acoustic: AcousticModel) -> bool:
    """Whether lips hear the log-mel beside features as wide as this model's."""
    return lips.config.also_mel and lips.config.acoustic == acoustic.config.width


def _former(lips: Wav2Lip) -> Wav2Lip:
    """The same lips by the log-mel alone."""
    if not lips.config.acoustic:
        return lips
    config = replace(lips.config, acoustic=0, acoustic_of="", also_mel=False, closing=0.0)
    former = Wav2Lip(config)
    own = {name: value for name, value in lips.state_dict().items() if not name.startswith("speech_encoder.")}
    former.load_state_dict({name.replace("mel_encoder.", "speech_encoder."): value for name, value in own.items()})
    return former


def _readout(vectors: Tensor, lips: Tensor, shares: Tensor | None = None) -> Tensor:
    """The linear map [D + 1,3] that tells lips [N,3] off vectors [N,D], by ridge regression; `shares` [N] weigh."""
    known = nn.functional.pad(vectors, (0, 1), value=1.0)
    weighted = known if shares is None else known * shares[:, None]
    return torch.linalg.solve(weighted.T @ known + _RIDGE * torch.eye(known.shape[1]), weighted.T @ lips)


def _read(readout: Tensor, vectors: Tensor) -> Tensor:
    return nn.functional.pad(vectors.float(), (0, 1), value=1.0) @ readout


def _agreement(told: Tensor, lips: Tensor) -> float:
    """How the lips' gap that is told follows the real one, 0..1; 0 where it never moves."""
    return float(np.nan_to_num(pearson(told[:, 0].numpy(), lips[:, 0].numpy())).clip(0, 1))
