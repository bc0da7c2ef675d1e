"""Training of the SOVQAE: on the crops of many people, or of one person from the weights of many (LaDTalk, v3).

Losses and their weights at `base` are those of CodeFormer's first stage (Zhou et al. 2022), with TextureLoss where
LPIPS has no weights, and the repulsion of the codes. `tiny` trains on patches of the crops, which its networks cannot
tell from whole ones: they have no attention and no normalisation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..datasets.aligned_faces import face_crops
from ..datasets.clips import open_splits
from ..datasets.stills import still_crops
from ..datasets.talking_faces import talking_faces
from ..device import channels_last, pick_dtype
from ..errors import InputError
from ..lpips import LPIPS, find_vgg
from ..pixels import signed_to_unit, to_bytes
from ..training.adversarial import AdversarialLoss, PatchDiscriminator, PatchDiscriminatorConfig
from ..training.arguments import add_batch_size, add_compile, add_preset, share
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from ..training.texture_loss import Perceptual, TextureLoss
from .decoder_init import init_decoder_lstsq, to_pixels
from .degrade import Degradation, degrade
from .model import build_wav2lip_model
from .sovqae import COMPONENT, SOVQAE, SOVQAEConfig
from .sovqae_losses import codebook_repulsion
from .training_patches import PatchSampler, SOVQAETraining
from .training_repainted import Repainted, repaint_set
from .wav2lip import SYSTEM, picture_size


@dataclass(frozen=True)
class SOVQAELoss:
    """Weights of the losses.

    `codebook` and `commitment` as CodeFormer has them: the 0.25 is the codes', not the encodings'. `spread` weighs the
    repulsion of used codes nearer than `spread_margin`; 0 is the plain VQ auto-encoder. `consistency` pulls the
    encodings of soft inputs to the codes of the sharp ones. Until step `quantise_from` fewer and fewer pictures are
    decoded from encodings as they are, while commitment and consistency grow: there must be something to quantise.
    `adversarial` are the patch discriminator's terms; with a `judge` of 0 there is none.
    """

    l1: float = 1.0
    perceptual: float = 1.0
    codebook: float = 0.25
    commitment: float = 1.0
    spread: float = 1.0
    spread_margin: float = 0.5
    consistency: float = 0.0
    quantise_from: int = 0
    adversarial: AdversarialLoss = field(default_factory=lambda: AdversarialLoss(0.8, True, 0.0, 30_001))


LOSSES = {
    "tiny": SOVQAELoss(
        codebook=1.0,
        commitment=0.01,
        spread=10.0,
        spread_margin=0.9,
        consistency=0.02,
        quantise_from=250,
        adversarial=AdversarialLoss(start=1500),
    ),
    "base": SOVQAELoss(),
}
BATCHES = {
    "tiny": SOVQAETraining(batch_size=8, patch=96, scales=(0.85, 1.6), soft=0.75, repainted=0.35, colour=0.15),
    "base": SOVQAETraining(batch_size=32),
}
TRAINING = {
    "tiny": TrainConfig(
        lr=5e-4, schedule="cosine", warmup=50, final_lr=0.05, beta2=0.99, ema_decay=0.995, precision="auto"
    ),
    "base": TrainConfig(
        lr=7e-5, schedule="cosine", final_lr=6 / 7, optimiser="adam", beta2=0.99, ema_decay=0.995, precision="auto"
    ),
}
STEPS = {"tiny": 5000, "base": 1_600_000}
OWN_STEPS = {"tiny": 400, "base": 20_000}
"""From the weights of many people to one person's own."""

FITTED = 96
"""Patches that the decoder's linear layer is fitted to before the first step."""


class SOVQAERecipe(Recipe):
    """Trains the SOVQAE on aligned crops, uint8 [N, S, S, 3], S not below the model's size nor the largest patch's."""

    name = "sovqae"

    def __init__(
        self,
        crops: NDArray[np.uint8],
        data: str,
        config: SOVQAEConfig,
        discriminator: PatchDiscriminatorConfig,
        loss: SOVQAELoss | None = None,
        training: SOVQAETraining | None = None,
        perceptual: Perceptual | None = None,
        repainted: Repainted | None = None,
        compile: bool = False,
        fit: bool = True,
        stills: NDArray[np.uint8] | None = None,
    ) -> None:
        """`data` names the set. `perceptual` takes the place of `TextureLoss`. `repainted` are some of the crops as
        Wav2Lip paints them. `compile` fuses the networks with torch.compile. `fit` begins with the decoder's linear
        layer at its best for these crops: in vain where weights are loaded afterwards. `stills` are further crops, one
        person each.
        """
        self.data, self.settings = data, config
        self.weights, self.training = loss or SOVQAELoss(), training or SOVQAETraining()
        self.crops, self._compile = crops, compile
        self.side = self.training.patch or config.image_size
        self.patches = PatchSampler(crops, self.side, self.training, repainted, stills)
        self.perceptual = perceptual or TextureLoss()
        self._check()
        self.config: Mapping[str, Any] = {
            "sovqae": config.to_dict(),
            "judge": discriminator.to_dict(),
            "loss": asdict(self.weights),
            "training": asdict(self.training),
            "perceptual": {type(self.perceptual).__name__: settings_of(self.perceptual)},
            "repainted": len(repainted.index) if repainted else 0,
            "stills": 0 if stills is None else len(stills),
        }
        self.sovqae = channels_last(SOVQAE(config))
        self.discriminator = channels_last(PatchDiscriminator(discriminator))
        if fit and config.bypass:
            chance = np.random.default_rng(0)
            fitted = [self.batch(n, chance) for n in range(FITTED // self.training.batch_size + 1)]
            init_decoder_lstsq(self.sovqae, [(to_pixels(b["degraded"]), to_pixels(b["real"])) for b in fitted])
        self.modules: dict[str, nn.Module] = {"sovqae": self.sovqae, "judge": self.discriminator}
        self._encode, self._decode = self.sovqae.encoder, self.sovqae.decoder

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_compile(parser)
        parser.add_argument("--wav2lip", metavar="NAME|FILE", help="half of the inputs are painted by this Wav2Lip")
        parser.add_argument("--stills", metavar="DIR", action="append", help="portraits with landmarks too; repeatable")
        parser.add_argument("--soft", type=share, metavar="SHARE", help="share of inputs made soft, 0 to 1")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        preset, (clips, _) = args.preset, open_splits(args.data)
        config, batches, loss = SOVQAEConfig.preset(preset), BATCHES[preset], LOSSES[preset]
        batches = replace(batches, batch_size=args.batch_size or batches.batch_size)
        if args.soft is not None:
            batches = replace(batches, soft=args.soft)
        vgg = find_vgg() if preset == "base" else None
        repainted = None
        if args.wav2lip:
            source = read_checkpoint(find_checkpoint(args.wav2lip), SYSTEM)
            lips = build_wav2lip_model(source, dtype=pick_dtype(torch.device("cpu")))
            # At the size at which it moves pixels: what it carries over is sharp, and only paint is to be restored.
            side = picture_size(lips.wav2lip.config)
            data = talking_faces(clips, side, args.cache, pad=0, seed=args.seed, quiet=args.quiet)
            repainted = repaint_set(lips, data, quiet=args.quiet)
        crops, names = face_crops(clips, config.image_size, args.cache, quiet=args.quiet).frames, [clips.name]
        stills = [still_crops(folder, config.image_size) for folder in args.stills or ()]
        names += [f"{Path(folder).absolute().parent.name}/{Path(folder).name}" for folder in args.stills or ()]
        recipe = cls(
            crops,
            ", ".join(names),
            config,
            PatchDiscriminatorConfig.preset(preset),
            own(loss) if args.init else loss,
            batches,
            LPIPS.load(vgg) if vgg else None,
            repainted,
            args.compile,
            fit=not args.init,
            stills=np.concatenate(stills) if stills else None,
        )
        return Plan(recipe, TRAINING[preset], (OWN_STEPS if args.init else STEPS)[preset])

    def _check(self) -> None:
        shape, factor = self.crops.shape, self.settings.factor
        if self.crops.ndim != 4 or shape[1] != shape[2] or shape[3] != 3 or self.crops.dtype != np.uint8:
            raise InputError(f"crops of shape {list(shape)}, {self.crops.dtype}; give squares, uint8 [N, S, S, 3].")
        if self.side % factor:
            raise InputError(f"patches of {self.side} px do not divide by the model's factor {factor}.")
        largest = round(self.side * self.training.scales[1])
        if shape[1] < largest:
            raise InputError(f"crops of {shape[1]} px are smaller than patches of {largest} px; prepare larger crops.")

    def prepare(self, device: torch.device) -> None:
        """Takes the perceptual loss to the device and compiles the networks, where asked to."""
        if isinstance(self.perceptual, nn.Module):
            self.perceptual.to(device)
        if self._compile:
            self._encode = torch.compile(self.sovqae.encoder, dynamic=False)
            self._decode = torch.compile(self.sovqae.decoder, dynamic=False)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        return self.patches.batch(rng)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The auto-encoder's losses and, from `start` on, the discriminator's own, which reach the discriminator
        alone."""
        w, net = self.weights, self.sovqae
        real, degraded = (to_pixels(batch[name]) for name in ("real", "degraded"))
        encodings = self._encode(net.view(torch.cat([degraded, real]) if w.consistency else degraded))
        quantised = net.quantiser(rearrange(encodings, "b d h w -> b h w d"))
        z, z_q, low = quantised.z, quantised.z_q, net.low(degraded)
        losses = {}
        if w.consistency:
            z_degraded, q_real = z[: len(real)], z_q[len(real) :].detach()
            losses["consistency"] = F.mse_loss(z_degraded, q_real)
            # Sharp codes beside a soft low band: fine texture then comes from the codes and from nowhere else.
            source = torch.arange(len(real), device=z.device) + len(real) * batch["taught"]
            z, z_q = z[source], z_q[source]
        if step < w.quantise_from:
            z_q = torch.where((batch["early"] > step / w.quantise_from)[:, None, None, None], z.to(z_q.dtype), z_q)
        generated = self._decode(rearrange(z_q, "b h w d -> b d h w"), low).float()
        losses |= {
            "l1": (generated - real).abs().mean(),
            "perceptual": self.perceptual(generated, real),
            "codebook": quantised.losses.codebook,
            "commitment": quantised.losses.commitment,
        }
        if w.spread and net.config.codebook.update == "gradient":
            losses["spread"] = codebook_repulsion(net.quantiser.vectors, net.quantiser.used, w.spread_margin)
        picture = w.l1 * losses["l1"] + w.perceptual * losses["perceptual"]
        # At full weight from the first step on these terms would collapse the encodings.
        grown = min(1.0, step / w.quantise_from) if w.quantise_from else 1.0
        total = picture + sum(
            getattr(w, name) * losses[name] * (grown if name in ("commitment", "consistency") else 1)
            for name in losses  # in their order: a set's differs from process to process, and rounding with it
            if name not in ("l1", "perceptual")
        )
        if w.adversarial.judge:
            last = cast(Tensor, self.sovqae.decoder.last.weight)
            against, terms = w.adversarial(self.discriminator, generated, real, step, picture, last)
            total, losses = total + against, losses | terms
        return {"loss": total, **losses, "perplexity": quantised.losses.perplexity}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Six crops as Wav2Lip would hand them on, above what becomes of them and the truth."""
        chosen = np.linspace(0, len(self.crops) - 1, 6).astype(int)
        size = self.settings.image_size
        real = np.stack([cv2.resize(self.crops[n], (size, size), interpolation=cv2.INTER_AREA) for n in chosen])
        degraded = np.stack([degrade(frame, Degradation(sigma=0.5)) for frame in real])
        device = next(modules["sovqae"].parameters()).device
        generated = modules["sovqae"](to_pixels(torch.from_numpy(degraded).to(device))).frames.float().cpu()
        generated = rearrange(to_bytes(signed_to_unit(generated)), "n c h w -> n h w c").numpy()
        return rearrange(np.stack([degraded, generated, real]), "r n h w c -> (r h) (n w) c")

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The auto-encoder alone: the discriminator has done its work."""
        save_checkpoint(
            path, SYSTEM, {COMPONENT: ema_modules["sovqae"]}, {COMPONENT: self.settings.to_dict()}, provenance
        )


def own(loss: SOVQAELoss) -> SOVQAELoss:
    """The weights for going on from a trained model, say to one person's own: everything counts from the first step."""
    return replace(loss, quantise_from=0, adversarial=replace(loss.adversarial, start=0))


def settings_of(perceptual: Perceptual) -> dict[str, Any]:
    """What a perceptual loss was set to, ready for JSON."""
    return asdict(perceptual) if isinstance(perceptual, TextureLoss) else {}
