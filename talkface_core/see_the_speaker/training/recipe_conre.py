"""Stage 2 of training: ConRe, speech and faces in one space (recipe `see-the-speaker-conre`).

    python -m talkface_core train see-the-speaker-conre --data PEOPLE --space FILE --voices DIR --voices-of-sex DIR \\
        --out RUN

PEOPLE are rendered (benchmarks/render_people.py), FILE is what see-the-speaker-portrait-space trained. Of `--voices`
sex and age group are known, of `--voices-of-sex` the sex alone.

Source: See the Speaker (Wang et al., arXiv 2510.26819), contrastive and reconstructive pre-training (conre_loss.py).
A voice is paired with a new face in each step, of its own sex and, where it is known, age group; in a share of steps
with its own portrait, where it has one. What is learned is what such pairs share: sex and age group. Who exactly speaks
is not in them, and cannot come out.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ...components import build
from ...datasets.sounds import SOUND_VERSIONS
from ...device import channels_last
from ...errors import InputError
from ...speech.mel_augment import noise_mels
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ..conre import FACE, SPEECH, FaceEncoder, FaceEncoderConfig, SpeechEncoder, SpeechEncoderConfig
from ..portrait_space import PORTRAIT_SPACE, PortraitSpace
from ..system import SYSTEM
from .conre_loss import ConReHead, attribute_loss, coarse, info_nce, mismatches
from .people import UNKNOWN, People, latents_of, open_people, signed
from .recipe_portrait_space import rows
from .voices import Voice, drawn_mels, partners, read_voices

TRAINING = {
    "tiny": TrainConfig(
        lr=1e-3, schedule="cosine", warmup=100, final_lr=0.02, beta2=0.98, weight_decay=0.05, ema_decay=0.995
    ),
    "base": TrainConfig(lr=2e-4, schedule="cosine", warmup=1000, weight_decay=0.05, ema_decay=0.999, precision="auto"),
}
BATCH = {"tiny": 48, "base": 256}
STEPS = {"tiny": 2500, "base": 100_000}
HEAD = "head"

_NOISES, _SHOWN = 24, 8
_STEPS = (100, 320)  # of a stretch of speech: 1.25 to 4 seconds


@dataclass(frozen=True)
class ConReLoss:
    """reconstruction: weight of the face's coarse latent; attributes: of the heads; own: share of voices that are
    paired with their own portrait, where they have one."""

    reconstruction: float = 0.3
    attributes: float = 0.3
    own: float = 0.3


class ConReRecipe(Recipe):
    """Trains a `SpeechEncoder` and a `FaceEncoder`; the portrait space is only looked at."""

    name = "see-the-speaker-conre"

    def __init__(
        self,
        people: People,
        voices: Sequence[Voice],
        space: PortraitSpace,
        speech: SpeechEncoderConfig | None = None,
        face: FaceEncoderConfig | None = None,
        batch: int = 48,
        weights: ConReLoss | None = None,
        seed: int = 0,
    ) -> None:
        """Raises InputError where nobody suits a voice, and where both vectors are not equally long."""
        self.speech, self.face = SpeechEncoder(speech), channels_last(FaceEncoder(face))
        own, other = self.speech.config.identity, self.face.config.encoder.out_dim
        if own != other:
            raise InputError(f"a voice's vector of {own} numbers and a face's of {other}; they have to be as long")
        self.head = ConReHead(own, space.shape[0])
        self.people, self.voices, self.weights = people, voices, weights or ConReLoss()
        self.data, self._batch = people.folder, batch
        self.modules: dict[str, nn.Module] = {SPEECH: self.speech, FACE: self.face, HEAD: self.head}
        self.config: Mapping[str, Any] = {
            SPEECH: self.speech.config.to_dict(),
            FACE: self.face.config.to_dict(),
            "people": len(people),
            "voices": len(voices),
            "batch": batch,
            "weights": asdict(self.weights),
        }
        self._noises = noise_mels(_NOISES, _STEPS[1], seed)
        self._suits = [np.flatnonzero(partners(v.sex, v.age, people.sex, people.age)) for v in voices]
        if empty := [voice.name for voice, suits in zip(voices, self._suits, strict=True) if not len(suits)]:
            raise InputError(f"nobody of the {len(people)} people has the sex and age group of the voice {empty[0]}.")
        owners = [n for n, voice in enumerate(voices) if voice.portrait is not None]
        own_portraits = [portrait for voice in voices if (portrait := voice.portrait) is not None]
        self._own = {voice: len(people) + n for n, voice in enumerate(owners)}
        self._faces = np.concatenate([people.pictures, *(portrait[None] for portrait in own_portraits)])
        self._coarse = coarse(latents_of(self._faces, space.eval()).flatten(0, 1)).unflatten(0, (-1, 2))
        self._share = group_shares([(v.sex, v.age) for v in voices])

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_space(parser)
        add_voices(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        space = read_space(args.space)
        people, _ = open_people(args.data, space.config.size)
        recipe = cls(
            people,
            voices_of(args, space.config.size),
            space,
            SpeechEncoderConfig.preset(args.preset),
            FaceEncoderConfig.preset(args.preset),
            args.batch_size or BATCH[args.preset],
            seed=args.seed,
        )
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """mels [B,S,80]; faces uint8 [B,P,P,3], their coarse latents and light; sex and age of both [B]."""
        count = self._batch
        picked = rng.choice(len(self.voices), count, p=self._share)
        mels = drawn_mels(self.voices, picked, int(rng.integers(*_STEPS)), rng, self._noises)
        faces = np.array([int(rng.choice(self._suits[k])) for k in picked])
        ages = self.people.age[faces]
        for n, k in enumerate(picked):
            if rng.random() < self.weights.own and k in self._own:
                faces[n], ages[n] = self._own[k], self.voices[k].age
        mirrored = rng.integers(0, 2, count)
        pictures = torch.from_numpy(self._faces[faces])
        return {
            "mels": mels,
            "faces": torch.where(torch.from_numpy(mirrored > 0)[:, None, None, None], pictures.flip(2), pictures),
            "coarse": self._coarse[faces, mirrored],
            "light": torch.from_numpy(rng.uniform(0.8, 1.2, (count, 3, 1, 1)).astype(np.float32)),
            "sex": torch.tensor([self.voices[k].sex for k in picked]),
            "age": torch.tensor([self.voices[k].age for k in picked]),
            "age_of_face": torch.from_numpy(ages),
        }

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        faces, weights = signed(batch["faces"]), self.weights
        heard = self.speech(batch["mels"])
        seen = self.face(((faces + 1) * batch["light"] - 1).clamp(-1, 1))
        with torch.autocast(faces.device.type, enabled=False):
            voices, looks = heard.identity.float(), seen.float()
            # A face's sex is its voice's; its age group may be known where the voice's is not.
            against = mismatches(batch["sex"], batch["age"], batch["sex"], batch["age_of_face"])
            losses = {
                "contrast": info_nce(voices, looks, self.head.scale, against),
                "reconstruction": (self.head.reconstructed(voices) - batch["coarse"]).square().mean(),
                "attributes": attribute_loss(self.speech, heard, batch["sex"], batch["age"]),
            }
            total = losses["contrast"] + sum(
                getattr(weights, name) * losses[name] for name in ("reconstruction", "attributes")
            )
        return {"loss": total, **losses, "temperature": 1 / self.head.scale.detach()}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The faces that suit a few voices best, a column for each."""
        speech, face = cast(SpeechEncoder, modules[SPEECH]), cast(FaceEncoder, modules[FACE])
        device = self.head.log_scale.device
        rng = np.random.default_rng(0)
        mels = drawn_mels(self.voices, rng.choice(len(self.voices), _SHOWN), _STEPS[1], rng, self._noises)
        shown = self.people.signed(rng.choice(len(self.people), min(len(self.people), 200), replace=False))
        alike = speech(mels.to(device)).identity @ face(shown.to(device)).T
        best = alike.topk(min(3, len(shown)), dim=1).indices.cpu()
        return rows([shown[best[:, n]] for n in range(best.shape[1])])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """Both encoders; the head is training's own."""
        parts = {name: ema_modules[name] for name in (SPEECH, FACE)}
        configs = {SPEECH: self.speech.config.to_dict(), FACE: self.face.config.to_dict()}
        save_checkpoint(path, SYSTEM, parts, configs, provenance, torch.float16)


def group_shares(groups: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """How often each voice is drawn [N]: all groups of sex and age group alike, an unknown one as all ages together."""
    counts = {group: groups.count(group) for group in groups}
    share = np.array([(3.0 if group[1] == UNKNOWN else 1.0) / counts[group] for group in groups])
    return share / share.sum()


def add_space(parser: argparse.ArgumentParser) -> None:
    """The flag `--space`."""
    parser.add_argument("--space", metavar="FILE", required=True, help="what see-the-speaker-portrait-space trained")


def add_voices(parser: argparse.ArgumentParser) -> None:
    """The flags `--voices` and `--voices-of-sex`."""
    about = "voices with attributes beside them; repeatable"
    parser.add_argument("--voices", metavar="DIR", action="append", required=True, help=about)
    about = "voices of which the sex alone is known; repeatable"
    parser.add_argument("--voices-of-sex", metavar="DIR", action="append", help=about)


def voices_of(args: argparse.Namespace, portraits: int) -> list[Voice]:
    """The voices that the flags name, with portraits of a side."""
    named = [(folder, True) for folder in args.voices] + [(folder, False) for folder in args.voices_of_sex or ()]
    read = [
        read_voices(folder, SOUND_VERSIONS, args.seed + n, known, portraits) for n, (folder, known) in enumerate(named)
    ]
    return [voice for voices in read for voice in voices]


def read_space(path: str | Path) -> PortraitSpace:
    """The portrait space of a checkpoint, float32. Raises CheckpointError."""
    return build(read_checkpoint(find_checkpoint(path), SYSTEM), PORTRAIT_SPACE)
