"""Stage 1 of training: the autoencoder and its reference skips (recipe `landmark-autoencoder`).

    python -m talkface_core train landmark-autoencoder --data SET/train --stills PORTRAITS --out RUN

Source: the KL-regularised autoencoder of latent diffusion (Rombach et al. 2022, section 3.1 and appendix G), without
its discriminator: reconstruction by colours and contrasts, a slight pull to the normal distribution. The latents are
drawn and disturbed before they are decoded, so that the decoder bears with what diffusion makes of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ...checkpoints import save_checkpoint
from ...datasets.stills import StillFaces, still_faces
from ...datasets.talking_faces import TalkingFaces, open_talking_faces
from ...device import channels_last
from ...faces.picture_loss import reconstruction, region_weights
from ...pixels import signed_to_unit, to_bytes, to_signed
from ...training.arguments import add_batch_size, add_compile, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ...training.texture_loss import TextureLoss
from ..autoencoder import COMPONENT, AutoencoderConfig, ReferenceAutoencoder
from ..landmarks import SYSTEM
from ..latent_space import Decoded, known_part
from .picture_batches import PictureBatches, PictureSampler

TRAINING = {
    "tiny": TrainConfig(
        lr=2e-3,
        schedule="cosine",
        warmup=100,
        final_lr=0.02,
        beta2=0.99,
        weight_decay=1e-3,
        ema_decay=0.998,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-4, schedule="cosine", warmup=1000, ema_decay=0.999, precision="auto"),
}
BATCHES = {"tiny": PictureBatches(singles=12, stills=4), "base": PictureBatches(singles=24, stills=8)}
STEPS = {"tiny": 4000, "base": 500_000}
PAD = 12
"""Margin of the cached crops that augmentation moves within, in pixels."""

ENCODER = ("stem", "encoder_fine", "encoder_coarse", "to_latent")
"""The parts of an autoencoder that make the latent space."""

_MOMENTUM, _FOLLOWED = 0.1, 10  # of the latents' running statistics, and after how many steps they are taken


@dataclass(frozen=True)
class AutoencoderLoss:
    """mouth: extra weight of the mouth's centre; upper: weight of the half that is known anyhow; detail: share of the
    error that compares contrasts; carried: weight of the picture that references alone make; paint: of the share that
    is painted; texture: of contrasts as strong as the real ones; kl: of the pull to the normal distribution; disturbed:
    the largest deviation of the noise on normalised latents."""

    mouth: float = 4.0
    upper: float = 0.2
    detail: float = 0.4
    carried: float = 0.3
    paint: float = 0.02
    texture: float = 0.02
    kl: float = 1e-4
    disturbed: float = 0.3


class AutoencoderRecipe(Recipe):
    """Trains a `ReferenceAutoencoder` on faces that talk and on stills; `val` is drawn in the samples."""

    name = "landmark-autoencoder"

    def __init__(
        self,
        data: TalkingFaces,
        config: AutoencoderConfig | None = None,
        val: TalkingFaces | None = None,
        stills: StillFaces | None = None,
        batches: PictureBatches | None = None,
        weights: AutoencoderLoss | None = None,
        compile: bool = False,
        decoder_only: bool = False,
    ) -> None:
        """`decoder_only` leaves the encoder as it is, and with it the latent space. `compile` fuses the network with
        torch.compile: a fifth faster on a CPU after a minute of compiling."""
        self.net = channels_last(ReferenceAutoencoder(config))
        if decoder_only:
            for name in ENCODER:
                getattr(self.net, name).requires_grad_(False)
        self.settings, self.weights = batches or PictureBatches(), weights or AutoencoderLoss()
        self.settings = replace(self.settings, references=self.net.config.references)
        self.data = data.name
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self.sampler = PictureSampler(data, self.settings, stills)
        self.config: Mapping[str, Any] = {
            "autoencoder": self.net.config.to_dict(),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "stills": 0 if stills is None else len(stills.frames),
            "decoder_only": decoder_only,
        }
        self._compile, self._decoder_only = compile, decoder_only
        self._texture = TextureLoss(structure=0.0)
        plain = replace(self.settings, windows=0, singles=8, stills=0, any=0.0, same=0.0, speaking=1.0, augment=False)
        self._held_out = PictureSampler(val or data, plain).batch(np.random.default_rng(0))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_compile(parser)
        add_stills(parser)
        parser.add_argument(
            "--decoder-only", action="store_true", help="with --init: keep its encoder and latent space"
        )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        config, batches = AutoencoderConfig.preset(args.preset), BATCHES[args.preset]
        data, val = open_talking_faces(args.data, config.size, args.cache, seed=args.seed, quiet=args.quiet)
        if args.batch_size:
            batches = replace(batches, singles=args.batch_size, stills=args.batch_size // 4)
        recipe = cls(data, config, val, read_stills(args, config.size), batches, None, args.compile, args.decoder_only)
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    def prepare(self, device: torch.device) -> None:
        """Compiles network and losses as one, where asked to."""
        if self._compile:
            self._terms = torch.compile(self._terms, dynamic=False)  # type: ignore[method-assign]

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch, size = self.sampler.batch(rng), self.net.config.latent_size
        shape = (len(batch["faces"]), self.net.config.latent_channels, size, size)
        batch["noise"] = torch.from_numpy(rng.standard_normal((2, *shape), dtype=np.float32))
        level = rng.uniform(0, self.weights.disturbed, shape[0]).astype(np.float32)
        batch["level"] = torch.from_numpy(level)[:, None, None, None]
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        noise = (batch["noise"][0], batch["level"] * batch["noise"][1])
        faces, references = signed(batch["faces"]), signed(batch["references"])
        if self.net.training and not self._decoder_only and step % _FOLLOWED == 0:
            self._follow(faces)
        return self._terms(faces, references, batch["landmarks"], batch["reference_landmarks"], *noise)

    def _terms(
        self, faces: Tensor, references: Tensor, landmarks: Tensor, theirs: Tensor, drawn: Tensor, added: Tensor
    ) -> dict[str, Tensor]:
        """The terms and their sum, for latents that are drawn and disturbed."""
        weights = self.weights
        mean, logvar = self.net.distribution(faces)
        latents = self.net.normalised(mean + (0.5 * logvar).exp() * drawn.to(mean)) + added.to(mean)
        shown = self.net.reference(references, theirs)
        decoded = self.net.decode(latents, known_part(faces), landmarks, shown)
        with torch.autocast(faces.device.type, enabled=False):
            losses = picture_losses(decoded, faces, landmarks, weights)
            losses["kl"] = 0.5 * (mean.float().square() + logvar.float().exp() - 1 - logvar.float()).mean()
            lower = slice(faces.shape[-1] // 2, None)
            losses["texture"] = self._texture(decoded.pictures[:, :, lower], faces[:, :, lower])
            names = ("carried", "paint", "kl", "texture")
            total = losses["picture"] + sum(getattr(weights, name) * losses[name] for name in names)
        return {"loss": total, **losses}

    @torch.no_grad()
    def _follow(self, faces: Tensor) -> None:
        """The latents' running mean and deviation; of the first batch as they are."""
        variance, own = torch.var_mean(self.net.distribution(faces)[0].float(), dim=(0, 2, 3))
        share = torch.where((self.net.deviation == 1).all(), 1.0, _MOMENTUM).to(own)
        self.net.mean.lerp_(own, share)
        self.net.deviation.lerp_(variance.sqrt().clamp(min=1e-3), share)

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Of people held out: both references, what was made, and the truth, one below the other."""
        net, held = cast(ReferenceAutoencoder, modules[COMPONENT]), self._held_out
        device = net.mean.device
        faces, references = (signed(held[name].to(device)) for name in ("faces", "references"))
        shown = net.reference(references, held["reference_landmarks"].to(device))
        made = net.decode(net.encode(faces), known_part(faces), held["landmarks"].to(device), shown)
        return rows([*references.unbind(1), made.carried, made.pictures, faces])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        components = {COMPONENT: ema_modules[COMPONENT]}
        save_checkpoint(path, SYSTEM, components, {COMPONENT: self.net.config.to_dict()}, provenance, torch.float16)


def picture_losses(decoded: Decoded, faces: Tensor, landmarks: Tensor, weights: AutoencoderLoss) -> dict[str, Tensor]:
    """Reconstruction by the whole and by what is carried alone, and the share of the lower half that is painted."""
    size = faces.shape[-1]
    count = region_weights(landmarks * size, size, weights.mouth, weights.upper)
    return {
        "picture": reconstruction(decoded.pictures, faces, count, weights.detail),
        "carried": reconstruction(decoded.carried, faces, count, weights.detail),
        "paint": decoded.paint[:, :, size // 2 :].mean(),
    }


def add_stills(parser: argparse.ArgumentParser) -> None:
    """The flag `--stills`."""
    parser.add_argument("--stills", metavar="DIR", help="portraits with landmarks beside them, to learn faces from")


def read_stills(args: argparse.Namespace, size: int) -> StillFaces | None:
    """The portraits that `--stills` names."""
    return still_faces(args.stills, size, PAD) if args.stills else None


def signed(pictures: Tensor) -> Tensor:
    """Bytes [...,H,W,3] -> -1..1 [...,3,H,W], in the order that convolutions like."""
    moved = rearrange(to_signed(pictures), "... h w c -> ... c h w")
    return moved.contiguous(memory_format=torch.channels_last) if moved.ndim == 4 else moved


def rows(pictures: list[Tensor]) -> NDArray[np.uint8]:
    """Rows of pictures [n,3,S,S] in -1..1, one below the other."""
    stacked = torch.stack([part.float().cpu() for part in pictures])
    return to_bytes(signed_to_unit(rearrange(stacked, "r n c h w -> (r h) (n w) c"))).numpy()
