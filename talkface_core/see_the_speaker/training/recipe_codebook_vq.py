"""The codebook, stage 1: the auto-encoder of sharp faces and its codes (recipe `see-the-speaker-codebook-vq`).

    python -m talkface_core train see-the-speaker-codebook-vq --data SET/train --stills PORTRAITS --out RUN

Source: the first stage of CodeFormer (Zhou et al. 2022), L1, a perceptual loss and the two of vector quantisation; in
place of LPIPS stands `TextureLoss`, which needs no trained weights, and there is no discriminator.
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
from ...datasets.clips import open_splits
from ...device import channels_last
from ...pixels import signed_to_unit, to_bytes, to_signed
from ...quantisation.linear_start import fit_linear
from ...quantisation.vq_autoencoder import VQAutoencoder, VQAutoencoderConfig, channels_at_the_end, channels_first
from ...training.arguments import above_zero, add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ...training.texture_loss import TextureLoss
from ..codebook import CodebookDecoderConfig
from ..system import SYSTEM
from .codebook_batches import CodebookBatches, CodebookSampler, Portraits, film_portraits, still_portraits

COMPONENT = "autoencoder"
"""Its name in a run's checkpoint: what infers needs its codes and decoder alone, which `codebook` holds."""

TRAINING = {
    "tiny": TrainConfig(lr=1e-3, schedule="cosine", warmup=50, final_lr=0.05, beta2=0.99, ema_decay=0.995),
    "base": TrainConfig(
        lr=7e-5, schedule="cosine", final_lr=6 / 7, optimiser="adam", beta2=0.99, ema_decay=0.995, precision="auto"
    ),
}
BATCHES = {"tiny": CodebookBatches(size=16, patch=96), "base": CodebookBatches(size=32)}
STEPS = {"tiny": 2500, "base": 1_600_000}
SHOWN = 6
FITTED = 96
"""Patches or pictures that the decoder's linear filter is fitted to before the first step."""


@dataclass(frozen=True)
class AutoencoderLoss:
    """Weights of the losses; `contrast`: of contrasts as strong as the real ones within the perceptual one (asked for
    them before it can place edges, a small network draws chequerboards); `codebook` counts where the codes follow
    gradients. Until step `quantise_from` fewer and fewer pictures are decoded from encodings as they are, while
    commitment grows: there must be something to quantise."""

    l1: float = 1.0
    perceptual: float = 1.0
    contrast: float = 0.1
    codebook: float = 1.0
    commitment: float = 0.01
    quantise_from: int = 250


LOSSES = {"tiny": AutoencoderLoss(), "base": AutoencoderLoss(codebook=0.25, commitment=1.0, quantise_from=0)}


class AutoencoderRecipe(Recipe):
    """Trains a `VQAutoencoder` on portraits of its size."""

    name = "see-the-speaker-codebook-vq"

    def __init__(
        self,
        films: Portraits,
        data: str,
        config: VQAutoencoderConfig,
        stills: Portraits | None = None,
        batches: CodebookBatches | None = None,
        loss: AutoencoderLoss | None = None,
        fit: bool = True,
    ) -> None:
        """`data` names the set. `fit` begins with the decoder's linear filter at its best for these pictures: in vain
        where weights are loaded afterwards."""
        self.data, self.weights = data, loss or AutoencoderLoss()
        self.net = channels_last(VQAutoencoder(config))
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self.sampler = CodebookSampler(films, stills, config.image_size, batches or CodebookBatches())
        self.texture = texture_loss(self.weights.contrast)
        if fit and self.net.decoder.sharpen is not None:
            chance = np.random.default_rng(0)
            shown = [
                signed(self.sampler.patches(chance)["real"]) for _ in range(FITTED // self.sampler.settings.size + 1)
            ]
            fit_linear(self.net.decoder, [(self.net.low(real), real) for real in shown])
        self.config: Mapping[str, Any] = {
            COMPONENT: config.to_dict(),
            "batches": asdict(self.sampler.settings),
            "weights": asdict(self.weights),
            "stills": 0 if stills is None else len(stills.frames),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_pictures(parser)
        add_contrast(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        config, batches = CodebookDecoderConfig.preset(args.preset).autoencoder, BATCHES[args.preset]
        if args.batch_size:
            batches = replace(batches, size=args.batch_size)
        films, stills, data = read_pictures(args, config.image_size)
        # A trained one has something to quantise already.
        loss = replace(LOSSES[args.preset], quantise_from=0) if args.init else LOSSES[args.preset]
        loss = loss if args.contrast is None else replace(loss, contrast=args.contrast)
        return Plan(
            cls(films, data, config, stills, batches, loss, not args.init), TRAINING[args.preset], STEPS[args.preset]
        )

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        return self.sampler.patches(rng)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        weights, net, real = self.weights, self.net, signed(batch["real"])
        quantised = net.quantiser(channels_at_the_end(net.encoder(net.view(real))))
        z_q = quantised.z_q
        if step < weights.quantise_from:
            as_they_are = batch["early"] > step / weights.quantise_from
            z_q = torch.where(as_they_are[:, None, None, None], quantised.z.to(z_q.dtype), z_q)
        decoded = net.decoder(channels_first(z_q).to(net.dtype), net.low(real)).float()
        losses = {
            "l1": (decoded - real).abs().mean(),
            "perceptual": self.texture(decoded, real),
            "codebook": quantised.losses.codebook,
            "commitment": quantised.losses.commitment,
        }
        grown = min(1.0, step / weights.quantise_from) if weights.quantise_from else 1.0
        total = weights.l1 * losses["l1"] + weights.perceptual * losses["perceptual"]
        total = total + weights.codebook * losses["codebook"] + grown * weights.commitment * losses["commitment"]
        return {"loss": total, **losses, "perplexity": quantised.losses.perplexity}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Pictures of the set: what the low band holds of them, what is made of it and the codes, the truth."""
        films = self.sampler.films.frames
        real = torch.from_numpy(np.stack([films[n] for n in np.linspace(0, len(films) - 1, SHOWN).astype(int)]))
        net = cast(VQAutoencoder, modules[COMPONENT])
        pixels = signed(real).to(next(net.parameters()).device)
        low = net.low(pixels)
        return sheet([*([] if low is None else [low]), net(pixels).frames, pixels])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = ema_modules[COMPONENT]
        save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: self.net.config.to_dict()}, provenance)


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """The flags of what portraits are trained on."""
    parser.add_argument("--stills", metavar="DIR", action="append", help="portraits with landmarks too; repeatable")
    parser.add_argument("--every", type=above_zero(int), default=20, metavar="N", help="frames of a film per one used")


def add_contrast(parser: argparse.ArgumentParser) -> None:
    """`--contrast`."""
    parser.add_argument("--contrast", type=float, metavar="WEIGHT", help="of contrasts as strong as real ones")


def texture_loss(contrast: float) -> TextureLoss:
    """The perceptual loss with its contrasts weighed so; 0: differences of a Laplacian pyramid and SSIM alone."""
    return TextureLoss(energy=contrast, finest=2 * contrast)


def read_pictures(args: argparse.Namespace, size: int) -> tuple[Portraits, Portraits | None, str]:
    """The portraits of films and of stills that a command line names, and the name of all that."""
    clips, _ = open_splits(args.data)
    stills = still_portraits(args.stills or (), size)
    names = [clips.name, *(f"{Path(one).absolute().parent.name}/{Path(one).name}" for one in args.stills or ())]
    return film_portraits(clips, size, args.every, args.cache, args.quiet), stills, ", ".join(names)


def signed(frames: Tensor) -> Tensor:
    """uint8 [B,H,W,3] -> float32 [B,3,H,W] in -1..1."""
    return rearrange(to_signed(frames), "b h w c -> b c h w")


def sheet(rows: list[Tensor]) -> NDArray[np.uint8]:
    """Rows of pictures [N,3,H,W] in -1..1, one below the other: RGB uint8."""
    pictures = torch.stack([to_bytes(signed_to_unit(row.float().cpu())) for row in rows])
    return rearrange(pictures, "r n c h w -> (r h) (n w) c").numpy()
