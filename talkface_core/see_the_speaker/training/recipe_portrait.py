"""Stage 3 of training: the denoiser with face prior and SAW (recipe `see-the-speaker-portrait`).

    python -m talkface_core train see-the-speaker-portrait --data PEOPLE --space FILE --conre FILE --voices DIR \\
        --voices-of-sex DIR --out RUN

Source: See the Speaker (Wang et al., arXiv 2510.26819), portrait diffusion with face prior guidance. Space and speech
encoder are frozen: the people's latents and what is heard of the voices are computed once. The prior is the mean of
those latents. One net serves the three arms: in each step a share of samples goes without prior, a share with a weight
of its own, and the rest with SAW's, which learns from the denoiser's loss and is held near to 1. A tenth of the samples
hear nobody, for guidance (Ho & Salimans 2022).
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

from ...checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ...components import build
from ...diffusion.parameterisation import diffuse, target
from ...errors import InputError
from ...speech.mel_augment import noise_mels
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ..conre import SPEECH, SPEECH_ENCODER, SpeechCode, SpeechEncoder
from ..portrait import COMPONENT, PortraitConfig, PortraitDenoiser, PortraitModel
from ..portrait_space import COMPONENT as SPACE
from ..portrait_space import PortraitSpace
from ..prior import BETA
from ..system import SYSTEM
from .people import UNKNOWN, People, latents_of, open_people
from .recipe_conre import add_space, add_voices, read_space, voices_of
from .recipe_portrait_space import rows
from .voices import Voice, drawn_mels, partners

TRAINING = {
    "tiny": TrainConfig(
        lr=1.5e-3, schedule="cosine", warmup=100, final_lr=0.02, beta2=0.99, weight_decay=1e-3, ema_decay=0.995
    ),
    "base": TrainConfig(lr=1e-4, schedule="cosine", warmup=1000, ema_decay=0.9999, precision="auto"),
}
BATCH = {"tiny": 16, "base": 256}
STEPS = {"tiny": 6000, "base": 200_000}

_VARIANTS, _STEPS, _NOISES = 12, 240, 24  # of each voice: how many stretches of how many mel steps are heard
_FEWEST = 10  # tokens
_SHOWN = 8


@dataclass(frozen=True)
class PortraitLoss:
    """dropped: share of samples that hear nobody; none, fixed: shares without prior and with a weight drawn for it;
    near: weight of SAW's distance to 1; unknown: share of people whose voice is one of unknown age, if there is any."""

    dropped: float = 0.1
    none: float = 0.2
    fixed: float = 0.3
    near: float = 0.05
    unknown: float = 0.35


class PortraitRecipe(Recipe):
    """Trains a `PortraitDenoiser` in the space of a frozen autoencoder, on what a frozen encoder hears."""

    name = "see-the-speaker-portrait"

    def __init__(
        self,
        people: People,
        voices: Sequence[Voice],
        space: PortraitSpace,
        speech: SpeechEncoder,
        config: PortraitConfig | None = None,
        batch: int = 32,
        weights: PortraitLoss | None = None,
        seed: int = 0,
        variants: int = _VARIANTS,
    ) -> None:
        """Raises InputError where a voice of somebody's sex and age group is missing."""
        config = config or PortraitConfig()
        saw = replace(config.saw, identity=speech.config.identity)
        channels, side, _ = space.shape
        tokens, identity = speech.config.tokens, speech.config.identity
        config = replace(config, latent_size=side, latent_channels=channels, tokens=tokens, identity=identity, saw=saw)
        self.net = PortraitDenoiser(config)
        self.space, self.speech = space.eval().requires_grad_(False), speech.eval().requires_grad_(False)
        self.weights, self.data, self._batch = weights or PortraitLoss(), people.folder, batch
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self.config: Mapping[str, Any] = {
            COMPONENT: config.to_dict(),
            "people": len(people),
            "voices": len(voices),
            "batch": batch,
            "weights": asdict(self.weights),
        }
        self._latents = latents_of(people.pictures, space)
        self.net.prior.latent.copy_(self._latents.mean((0, 1)))
        self._counts = shown_in_pixels(space)
        self._tokens, self._identity = heard(speech, voices, variants, seed)
        self._suits = [_suited(int(s), int(a), voices) for s, a in zip(people.sex, people.age, strict=True)]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_space(parser)
        parser.add_argument("--conre", metavar="FILE", required=True, help="what see-the-speaker-conre trained")
        add_voices(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        space = read_space(args.space)
        speech = build(read_checkpoint(find_checkpoint(args.conre), SYSTEM), SPEECH_ENCODER)
        people, _ = open_people(args.data, space.config.size)
        batch = args.batch_size or BATCH[args.preset]
        config = PortraitConfig.preset(args.preset)
        recipe = cls(people, voices_of(args, 0), space, speech, config, batch, seed=args.seed)
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    def prepare(self, device: torch.device) -> None:
        """Moves the frozen networks to the device; the samples want them."""
        self._counts = self._counts.to(device)
        self.space.to(device)
        self.speech.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """latents [B,C,L,L] and noise eps of the same shape; t, alpha, sigma [B]; tokens [B,L,D] and identity [B,E];
        dropped, adaptive bool [B] and weight [B], the prior's where it is not adaptive."""
        count, weights, config = self._batch, self.weights, self.net.config
        picked, mirrored = rng.integers(0, len(self._suits), count), rng.integers(0, 2, count)
        voices = np.array([self._voice(int(person), rng) for person in picked])
        variants = rng.integers(0, self._tokens.shape[1], count)
        length = int(rng.integers(min(_FEWEST, self._tokens.shape[2]), self._tokens.shape[2] + 1))
        start = int(rng.integers(0, self._tokens.shape[2] - length + 1))
        t = torch.from_numpy(rng.integers(0, config.schedule.steps, count))
        alpha, sigma = config.schedule.alpha_sigma(t)
        arm = rng.random(count)
        weight = np.where(arm < weights.none, 0.0, rng.random(count)).astype(np.float32)
        latents = self._latents[picked, mirrored]
        return {
            "latents": latents,
            "eps": torch.from_numpy(rng.standard_normal(latents.shape, dtype=np.float32)),
            "t": t,
            "alpha": alpha,
            "sigma": sigma,
            "tokens": self._tokens[voices, variants, start : start + length].float(),
            "identity": self._identity[voices, variants],
            "dropped": torch.from_numpy(rng.random(count) < weights.dropped),
            "adaptive": torch.from_numpy(arm >= weights.none + weights.fixed),
            "weight": torch.from_numpy(weight),
        }

    def _voice(self, person: int, rng: np.random.Generator) -> int:
        known, unknown = self._suits[person]
        from_unknown = len(unknown) > 0 and (not len(known) or rng.random() < self.weights.unknown)
        return int(rng.choice(unknown if from_unknown else known))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Squared error of the prediction of the residual, channels counting as they show, and SAW's distance to 1."""
        net, kind = self.net, self.net.config.prediction
        code = SpeechCode(batch["tokens"], batch["identity"])
        own = net.saw(code.identity)
        beta = torch.where(batch["adaptive"][:, None], own, batch["weight"][:, None])
        residual = net.prior.residual(batch["latents"], beta)
        noisy = diffuse(residual, batch["eps"], batch["alpha"], batch["sigma"])
        out = net(noisy, batch["t"], net.prior.weighted(beta), net.context(code, batch["dropped"]))
        wanted = target(kind, residual, batch["eps"], batch["alpha"], batch["sigma"])
        each = (out.float() - wanted).square().mean((0, 2, 3))
        error, near = (self._counts * each).mean(), (own - BETA).square().mean()
        return {"loss": error + self.weights.near * near, "mse": each.mean(), "beta": own.detach().mean()}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Portraits of a few voices: without prior, with all of it, and with SAW's weight, one below the other."""
        model = PortraitModel(self.speech, self.space, cast(PortraitDenoiser, modules[COMPONENT]))
        device, count = self.space.mean.device, min(_SHOWN, len(self._tokens))
        picked = np.linspace(0, len(self._tokens) - 1, count).astype(int)
        code = SpeechCode(self._tokens[picked, 0].float().to(device), self._identity[picked, 0].to(device))
        made = [model.portraits(code, list(range(count)), arm, steps=15) for arm in ("none", "fixed", "adaptive")]
        return rows([2 * portraits - 1 for portraits in made])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """All that makes a portrait of a voice: the denoiser, the speech encoder and the space."""
        parts: dict[str, Any] = {COMPONENT: ema_modules[COMPONENT], SPEECH: self.speech, SPACE: self.space}
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        save_checkpoint(path, SYSTEM, parts, configs, provenance, torch.float16)


def shown_in_pixels(space: PortraitSpace) -> Tensor:
    """How much each channel of the latents counts [C], mean 1: as its unit deviation moves pixels on the straight way.
    The first ones are colours and shading, on which sex and age are seen from afar; the last are edges."""
    moved = space.to_pixels.weight.detach().square().sum((0, 2, 3)).sqrt() * space.deviation
    return moved / moved.mean()


@torch.no_grad()
def heard(speech: SpeechEncoder, voices: Sequence[Voice], variants: int, seed: int) -> tuple[Tensor, Tensor]:
    """What is heard in stretches of each voice, in rooms and noises: tokens float16 [N,V,L,D], identity [N,V,E]."""
    rng, noises = np.random.default_rng(seed), noise_mels(_NOISES, _STEPS, seed)
    tokens, identity = [], []
    for index in range(len(voices)):
        code = speech(drawn_mels(voices, np.full(variants, index), _STEPS, rng, noises))
        tokens.append(code.tokens.half())
        identity.append(code.identity)
    return torch.stack(tokens), torch.stack(identity)


def _suited(sex: int, age: int, voices: Sequence[Voice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which voices suit somebody: of the same age group, and of an unknown one."""
    ages = np.array([voice.age for voice in voices])
    suits = partners(sex, age, np.array([voice.sex for voice in voices]), ages)
    known, unknown = np.flatnonzero(suits & (ages != UNKNOWN)), np.flatnonzero(suits & (ages == UNKNOWN))
    if not len(known) and not len(unknown):
        raise InputError("no voice has the sex and age group of one of the people; give voices of all.")
    return known, unknown
