"""The codebook, stages 2 and 3: codes of soft faces, and how much of the input counts (`see-the-speaker-codebook`).

    python -m talkface_core train see-the-speaker-codebook --data SET/train --autoencoder STAGE1 --out RUN2
    python -m talkface_core train see-the-speaker-codebook --fuse --init STAGE2 --data … --autoencoder STAGE1 --out RUN3

Source: CodeFormer (Zhou et al. 2022), stages 2 and 3. Stage 2 teaches encoder and transformer the codes of the sharp
face: cross-entropy, and the distance of the encoder's own guess from their vectors. Stage 3 (`--fuse`) adds the picture
itself, at fidelities drawn anew for each face; as published the decoder stays as it is there, which `--keep-decoder`
asks for, while by default it learns to bear with codes that are predicted wrongly. `--renderer FILE` (of the system's
second stage) shows it, beside softened pictures, what that renderer makes of the films.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...checkpoints import CheckpointError, find_checkpoint, read_checkpoint, save_checkpoint
from ...components import Component, build
from ...datasets.clips import open_splits
from ...device import channels_last
from ...errors import InputError
from ...quantisation.linear_start import fit_linear
from ...quantisation.vq_autoencoder import VQAutoencoder, VQAutoencoderConfig
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ..codebook import COMPONENT, CodebookDecoder, CodebookDecoderConfig
from ..system import SYSTEM
from . import recipe_codebook_vq as stage1
from .codebook_batches import CodebookBatches, CodebookSampler, Portraits
from .codebook_rendered import RenderedPairs, rendered_pairs
from .recipe_codebook_vq import add_contrast, add_pictures, read_pictures, sheet, signed, texture_loss

AUTOENCODERS = (stage1.COMPONENT, "sovqae")
"""Components that may be the auto-encoder of sharp faces: stage 1's, or a SOVQAE of another system's file."""

TRAINING = {
    "tiny": TrainConfig(lr=1e-3, schedule="cosine", warmup=100, final_lr=0.05, beta2=0.99, ema_decay=0.995),
    "base": TrainConfig(lr=1e-4, optimiser="adam", beta2=0.99, ema_decay=0.995, precision="auto"),
}
BATCHES = {
    "tiny": (CodebookBatches(size=8), CodebookBatches(size=4)),
    "base": (CodebookBatches(size=32), CodebookBatches(size=24)),
}
STEPS = {"tiny": (2000, 1500), "base": (500_000, 150_000)}
"""Of stage 2 and of stage 3."""

SHOWN = 6


@dataclass(frozen=True)
class CodebookLoss:
    """Weights of the losses. `codes`: cross-entropy; `guess`: the encoder's own vectors; `l1`, `perceptual`,
    `contrast`: of stage 3's picture, see `AutoencoderLoss`; `faithful`: share of faces whose fidelity is 1 there, that
    of the others being drawn from 0 to 1."""

    codes: float = 0.5
    guess: float = 1.0
    l1: float = 1.0
    perceptual: float = 1.0
    contrast: float = 0.1
    faithful: float = 0.4


LOSSES = {"tiny": (CodebookLoss(), CodebookLoss(codes=0.05, guess=0.1)), "base": (CodebookLoss(), CodebookLoss())}


class CodebookRecipe(Recipe):
    """Trains a `CodebookDecoder` to the codes that a frozen `autoencoder` gives sharp portraits, `fuse`: and to the
    portraits themselves."""

    name = "see-the-speaker-codebook"

    def __init__(
        self,
        films: Portraits,
        data: str,
        config: CodebookDecoderConfig,
        autoencoder: VQAutoencoder,
        fuse: bool = False,
        stills: Portraits | None = None,
        batches: CodebookBatches | None = None,
        loss: CodebookLoss | None = None,
        keep_decoder: bool = False,
        rendered: RenderedPairs | None = None,
        fit: bool = True,
        fine_only: bool = False,
    ) -> None:
        """`data` names the set. `fit`: the decoder's linear filter begins at its best for soft pictures, in vain where
        weights are loaded afterwards. `fine_only`: in stage 3 the last stage alone learns. Raises InputError for an
        auto-encoder of other settings than the config's."""
        if autoencoder.config.to_dict() != config.autoencoder.to_dict():
            raise InputError("the auto-encoder has other settings than those whose codes are to be predicted.")
        self.data, self.weights, self.fuse = data, loss or CodebookLoss(), fuse
        self.autoencoder = autoencoder.eval().requires_grad_(False)
        self.net = channels_last(CodebookDecoder(config))
        self.net.decoder.load_state_dict(autoencoder.decoder.state_dict())
        self.net.quantiser.load_state_dict(autoencoder.quantiser.state_dict())
        # The codebook is what both sides agree on: it stays.
        self.net.quantiser.requires_grad_(False)
        self.net.decoder.requires_grad_(fuse and not keep_decoder)
        self.net.fusions.requires_grad_(fuse)
        self._fine_only = fuse and fine_only and self.net.fine is not None
        if self._fine_only:
            self.net.requires_grad_(False)
        if self.net.fine is not None:
            self.net.fine.requires_grad_(fuse)
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        batches = batches or CodebookBatches()
        self.sampler = CodebookSampler(films, stills, config.input_size, batches, rendered)
        if fit and self.net.decoder.sharpen is not None:
            fit_linear(self.net.decoder, self._pairs())
        self.texture = texture_loss(self.weights.contrast)
        self.config: Mapping[str, Any] = {
            COMPONENT: config.to_dict(),
            "fuse": fuse,
            "keep_decoder": keep_decoder,
            "fine_only": fine_only,
            "batches": asdict(self.sampler.settings),
            "weights": asdict(self.weights),
            "stills": 0 if stills is None else len(stills.frames),
            "rendered": 0 if rendered is None else len(rendered.real),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_pictures(parser)
        add_contrast(parser)
        parser.add_argument(
            "--autoencoder", metavar="NAME|FILE", required=True, help="what see-the-speaker-codebook-vq trained"
        )
        parser.add_argument("--renderer", metavar="NAME|FILE", help="a share of the inputs as this renderer draws them")
        parser.add_argument("--fuse", action="store_true", help="stage 3: the picture too, at every fidelity")
        parser.add_argument("--fine-only", action="store_true", help="in stage 3 train its last, fine layers alone")
        parser.add_argument("--keep-decoder", action="store_true", help="in stage 3 leave the decoder as it is")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        autoencoder, stage = read_autoencoder(args.autoencoder), int(args.fuse)
        config = CodebookDecoderConfig.preset(args.preset, autoencoder=autoencoder.config)
        batches = BATCHES[args.preset][stage]
        if args.batch_size:
            batches = replace(batches, size=args.batch_size)
        films, stills, data = read_pictures(args, config.autoencoder.image_size)
        loss = LOSSES[args.preset][stage]
        loss = loss if args.contrast is None else replace(loss, contrast=args.contrast)
        rendered, sizes = None, (config.autoencoder.image_size, config.input_size)
        if args.renderer:
            clips, _ = open_splits(args.data)
            rendered = rendered_pairs(clips, args.renderer, *sizes, args.every, args.cache, args.quiet)
        parts = (args.keep_decoder, rendered, not args.init, args.fine_only)
        recipe = cls(films, data, config, autoencoder, args.fuse, stills, batches, loss, *parts)
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset][stage])

    def prepare(self, device: torch.device) -> None:
        """Moves the frozen auto-encoder to the device."""
        channels_last(self.autoencoder.to(device))

    def _pairs(self) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Low bands of soft pictures and the sharp ones."""
        chance = np.random.default_rng(0)
        for _ in range(stage1.FITTED // self.sampler.settings.size + 1):
            batch = self.sampler.batch(chance)
            yield self.net.low(signed(batch["soft"])), signed(batch["real"])

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        return self.sampler.batch(rng)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        net, weights, real, soft = self.net, self.weights, signed(batch["real"]), signed(batch["soft"])
        if self._fine_only:
            return self._picture(net(soft, self._fidelity(batch)).pictures.float(), real)
        with torch.no_grad():
            codes = self.autoencoder.codes(real)
        latent, maps = net.encode(soft)
        logits, guess = net.predictor(latent).float(), net.guess(latent)
        predicted = logits.detach().argmax(-1)
        losses = {
            "codes": F.cross_entropy(logits.flatten(0, -2), codes.flatten()),
            "guess": F.mse_loss(guess, net.quantiser.lookup(codes)),
        }
        total = weights.codes * losses["codes"] + weights.guess * losses["guess"]
        if self.fuse:
            z_q = net.vectors(logits, guess)
            picture = self._picture(net.decode(z_q, soft, maps, self._fidelity(batch)).float(), real)
            total = total + picture.pop("loss")
            losses |= picture
        return {"loss": total, **losses, "right": (predicted == codes).float().mean()}

    def _picture(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        losses = {"l1": (made - real).abs().mean(), "perceptual": self.texture(made, real)}
        return {"loss": self.weights.l1 * losses["l1"] + self.weights.perceptual * losses["perceptual"], **losses}

    def _fidelity(self, batch: Batch) -> Tensor:
        """w [B,1,1,1] of each face."""
        # A coin of its own for the faithful ones, which is the draw below their share.
        drawn = (batch["fidelity"] - self.weights.faithful) / (1 - self.weights.faithful)
        return torch.where(drawn < 0, 1.0, drawn)[:, None, None, None].to(self.net.dtype)

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Pictures of the set: the soft input enlarged, by the codes alone, with all of the input, the truth."""
        draw = CodebookSampler(self.sampler.films, None, self.sampler.soft, replace(self.sampler.settings, size=SHOWN))
        batch, net = draw.batch(np.random.default_rng(0)), modules[COMPONENT]
        device = next(net.parameters()).device
        soft, real = signed(batch["soft"]).to(device), signed(batch["real"])
        big = F.interpolate(soft, real.shape[-1], mode="bicubic", align_corners=False)
        return sheet([big, net(soft, 0.0).pictures, net(soft, 1.0).pictures, real])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = ema_modules[COMPONENT]
        save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: self.net.config.to_dict()}, provenance)


def read_autoencoder(name_or_path: str | Path) -> VQAutoencoder:
    """The auto-encoder of sharp faces in a checkpoint: stage 1's or a SOVQAE. Raises CheckpointError."""
    checkpoint = read_checkpoint(find_checkpoint(name_or_path))
    for name in AUTOENCODERS:
        if name in checkpoint.configs:
            return build(checkpoint, Component(name, VQAutoencoderConfig, VQAutoencoder))
    raise CheckpointError(
        f"{checkpoint.path}: holds {', '.join(checkpoint.configs)}; expected one of {', '.join(AUTOENCODERS)}."
    )
