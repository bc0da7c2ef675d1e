"""Stage 1 of training: the latent space of portraits (recipe `see-the-speaker-portrait-space`).

    python -m talkface_core train see-the-speaker-portrait-space --data PEOPLE --out RUN

PEOPLE is what benchmarks/render_people.py made: rendered people alone, so that no portrait can be a real person's.

Source: the KL-regularised autoencoder of latent diffusion (Rombach et al. 2022, section 3.1 and appendix G): colours,
contrasts and texture as strong as the real one, a slight pull to the normal distribution. Latents are drawn and
disturbed before they are decoded, so that the decoder bears with what diffusion makes of them. No discriminator: tried
for 900 steps it made colours pale and backgrounds a grid. With `--part decoder --init FILE` latents stay as they are,
and what was trained in them meanwhile holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ...checkpoints import find_checkpoint, read_header, save_checkpoint
from ...device import channels_last
from ...errors import InputError
from ...faces.picture_loss import reconstruction
from ...pixels import signed_to_unit, to_bytes
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ...training.texture_loss import TextureLoss
from ..portrait_space import COMPONENT, EYES, FACE, PortraitSpace, PortraitSpaceConfig
from ..system import SYSTEM
from .people import People, open_people, signed

TRAINING = {
    "tiny": TrainConfig(
        lr=7e-4, schedule="cosine", warmup=100, final_lr=0.02, beta2=0.99, weight_decay=1e-3, ema_decay=0.99
    ),
    "base": TrainConfig(lr=1e-4, schedule="cosine", warmup=1000, ema_decay=0.999, precision="auto"),
}
BATCH = {"tiny": 6, "base": 32}
STEPS = {"tiny": 1500, "base": 200_000}

PARTS = ("all", "decoder")
"""What can be trained."""

_ENCODING = ("to_latent.", "autoencoder.encoder.", "autoencoder.quant_conv.")
_MOMENTUM, _FOLLOWED = 0.1, 10  # of the latents' running statistics, and after how many steps they are taken
_SHOWN = 8
_LITTLE = -5.0  # logarithm of the variance


@dataclass(frozen=True)
class SpaceLoss:
    """face: extra weight of the face's middle; detail: share of the error that compares contrasts; texture: of
    contrasts as strong as the real ones; kl: of the pull to the normal distribution; disturbed: the largest deviation
    of the noise on normalised latents."""

    face: float = 2.0
    detail: float = 0.4
    texture: float = 0.02
    kl: float = 1e-4
    disturbed: float = 0.2


class PortraitSpaceRecipe(Recipe):
    """Trains a `PortraitSpace`; of `val`, other people, the samples are drawn."""

    name = "see-the-speaker-portrait-space"

    def __init__(
        self,
        people: People,
        config: PortraitSpaceConfig | None = None,
        val: People | None = None,
        batch: int = 12,
        weights: SpaceLoss | None = None,
        part: str = "all",
    ) -> None:
        """`part`: what is trained, see `PARTS`."""
        self.net = channels_last(PortraitSpace(config))
        begin_straight(self.net, people)
        self._part = part
        self.people, self.weights, self.data, self._batch = people, weights or SpaceLoss(), people.folder, batch
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self.config: Mapping[str, Any] = {
            COMPONENT: self.net.config.to_dict(),
            "people": len(people),
            "batch": batch,
            "weights": asdict(self.weights),
            "part": part,
        }
        if part == "decoder":
            for name, weight in self.net.named_parameters():
                weight.requires_grad_(not name.startswith(_ENCODING))
        self._texture, self._middle = TextureLoss(structure=0.0), face_weights(self.net.config.size, self.weights.face)
        self._held_out = (val or people).signed(slice(_SHOWN))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        told = "decoder: in the latents of --init, which stay (default: all of it)"
        parser.add_argument("--part", choices=PARTS, default="all", help=told)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        config = PortraitSpaceConfig.preset(args.preset)
        if args.part == "decoder" and args.init is None:
            raise InputError("--part decoder needs --init: the space whose latents are to stay as they are.")
        if args.init is not None:
            _check_encodes(args.init)
        batch = args.batch_size or BATCH[args.preset]
        recipe = cls(*_people(args.data, config), batch=batch, part=args.part)
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    def prepare(self, device: torch.device) -> None:
        self._middle = self._middle.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        count, shape = self._batch, self.net.shape
        picked = torch.from_numpy(self.people.pictures[rng.integers(0, len(self.people), count)])
        mirrored = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
        return {
            "pictures": torch.where(mirrored, picked.flip(2), picked),
            "noise": torch.from_numpy(rng.standard_normal((2, count, *shape), dtype=np.float32)),
            "level": torch.from_numpy(rng.uniform(0, self.weights.disturbed, (count, 1, 1, 1)).astype(np.float32)),
        }

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their sum, for latents that are drawn and disturbed."""
        pictures, weights, whole = signed(batch["pictures"]), self.weights, self._part == "all"
        with torch.set_grad_enabled(whole and torch.is_grad_enabled()):
            mean, logvar = self.net.distribution(pictures)
        if whole and self.net.training and step % _FOLLOWED == 0:
            self._follow(mean)
        latents = (
            self.net.normalised(mean + (0.5 * logvar).exp() * batch["noise"][0]) + batch["level"] * batch["noise"][1]
        )
        made = self.net.decode(latents)
        with torch.autocast(pictures.device.type, enabled=False):
            mean, logvar = mean.float(), logvar.float()
            losses = {
                "picture": reconstruction(made, pictures, self._middle.expand(len(made), -1, -1, -1), weights.detail),
                "texture": self._texture(made.float(), pictures),
                "kl": 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(),
            }
            total = losses["picture"] + weights.texture * losses["texture"] + weights.kl * losses["kl"]
        return {"loss": total, **losses}

    @torch.no_grad()
    def _follow(self, means: Tensor) -> None:
        """The latents' running mean and deviation; of the first batch as they are."""
        variance, own = torch.var_mean(means.float(), dim=(0, 2, 3))
        share = torch.where((self.net.deviation == 1).all(), 1.0, _MOMENTUM).to(own)
        self.net.mean.lerp_(own, share)
        self.net.deviation.lerp_(variance.sqrt().clamp(min=1e-3), share)

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """People held out, and what is left of them, one below the other."""
        net = cast(PortraitSpace, modules[COMPONENT])
        held = self._held_out.to(net.mean.device)
        return rows([held, net.decode(net.encode(held))])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        configs = {COMPONENT: self.net.config.to_dict()}
        save_checkpoint(path, SYSTEM, ema_modules, configs, provenance, torch.float16)


@torch.no_grad()
def begin_straight(net: PortraitSpace, people: People, squares: int = 40_000) -> None:
    """The straight way begins as the principal components of squares of pixels, each of unit deviation; the
    convolutions add nothing to it yet, and the latents are drawn with little noise."""
    factor, channels = net.config.autoencoder.factor, net.shape[0]
    rng = np.random.default_rng(0)
    count = max(1, min(len(people), squares // net.config.latent_size**2))
    shown = people.signed(rng.choice(len(people), count, replace=False))
    values = rearrange(F.pixel_unshuffle(shown, factor), "b c h w -> (b h w) c").double()
    mean, (power, axes) = values.mean(0), torch.linalg.eigh(torch.cov(values.T))
    spread, axes = power[-channels:].clamp(min=1e-6).sqrt(), axes[:, -channels:]
    net.to_latent.weight.copy_((axes / spread).T[..., None, None])
    net.to_latent.bias.copy_(-(mean @ axes) / spread)
    net.to_pixels.weight.copy_((axes * spread)[..., None, None])
    net.to_pixels.bias.copy_(mean)
    encoder, decoder, quant = net.autoencoder.encoder, net.autoencoder.decoder, net.autoencoder.quant_conv
    assert encoder is not None  # what is trained encodes
    assert quant is not None
    for layer in (encoder.conv_out, decoder.conv_out, quant):
        layer.bias.zero_()
    encoder.conv_out.weight.zero_()
    decoder.conv_out.weight.zero_()
    quant.bias[channels:] = _LITTLE


def _people(folder: str | Path, config: PortraitSpaceConfig) -> tuple[People, PortraitSpaceConfig, People | None]:
    own, val = open_people(folder, config.size)
    return own, config, val


def _check_encodes(source: str | Path) -> None:
    """Raises InputError for a checkpoint whose portrait space has lost its encoder, as in bundled ones."""
    header = read_header(find_checkpoint(source))
    if COMPONENT in header.configs and not header.config(COMPONENT, PortraitSpaceConfig).autoencoder.encodes:
        raise InputError(
            f"{header.path}: holds the decoder of portraits alone, which is all that making them needs, and training "
            f"needs the encoder too; --init takes what {PortraitSpaceRecipe.name} has trained."
        )


def face_weights(size: int, extra: float) -> Tensor:
    """How much each pixel of a portrait counts [1,1,S,S], mean 1: more in the middle of the face, which lies where it
    lies in all of them."""
    grid = (torch.arange(size) + 0.5) / size
    across, down = (grid - 0.5) / (0.55 * FACE), (grid - EYES - 0.4 * FACE) / (0.6 * FACE)
    bump = torch.exp(-across.square() / 2)[None, :] * torch.exp(-down.square() / 2)[:, None]
    weights = 1 + extra * bump
    return (weights / weights.mean())[None, None]


def rows(pictures: list[Tensor]) -> NDArray[np.uint8]:
    """Rows of pictures [n,3,S,S] in -1..1, one below the other."""
    stacked = torch.stack([part.float().cpu() for part in pictures])
    return to_bytes(signed_to_unit(rearrange(stacked, "r n c h w -> (r h) (n w) c"))).numpy()
