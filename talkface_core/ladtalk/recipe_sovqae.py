"""Training of the SOVQAE: on the crops of many people, or of one person from the weights of many (LaDTalk, v3).

Losses and their weights at `base` are those of CodeFormer's first stage (Zhou et al. 2022), with TextureLoss where
LPIPS has no weights, and the spread of the codes. `tiny` trains on patches of the crops, which its networks cannot tell
from whole ones: they have no attention and no normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..errors import InputError
from ..training.config import TrainConfig
from .degrade import Softness, soften
from .patch_discriminator import DiscriminatorConfig, PatchDiscriminator
from .sovqae import COMPONENT, DETAIL, SOVQAE, SOVQAEConfig
from .sovqae_losses import (
    Perceptual,
    TextureLoss,
    adaptive_weight,
    feature_matching,
    generator_hinge,
    judge_hinge,
    judged,
    spread,
)

SYSTEM = "ladtalk"


@dataclass(frozen=True)
class SOVQAELoss:
    """Weights of the losses.

    `codebook` and `commitment` as CodeFormer has them: the 0.25 is the codes', not the encodings'. `spread` weighs the
    repulsion of used codes nearer than `spread_margin`; 0 is the plain VQ auto-encoder. `consistency` pulls the
    encodings of soft inputs to the codes of the sharp ones. Until step `quantise_from` fewer and fewer pictures are
    decoded from encodings as they are, while commitment and consistency grow: there must be something to quantise.
    From step `judge_from` on the patch discriminator weighs `judge`, times the balance of gradients where `adaptive`,
    and its features `matching`.
    """

    l1: float = 1.0
    perceptual: float = 1.0
    codebook: float = 0.25
    commitment: float = 1.0
    spread: float = 1.0
    spread_margin: float = 0.5
    consistency: float = 0.0
    quantise_from: int = 0
    judge: float = 0.8
    adaptive: bool = True
    matching: float = 0.0
    judge_from: int = 30_001


@dataclass(frozen=True)
class SOVQAETraining:
    """What a batch is: `batch_size` patches of `patch` px (0: whole crops) cut `scales` times as large, resized.

    `soft` is the share of inputs that went through Wav2Lip's few lines; what they should become is sharp always. `flip`
    mirrors half of them; `colour` changes brightness, contrast and white by up to that share.
    """

    batch_size: int = 8
    patch: int = 0
    scales: tuple[float, float] = (1.0, 1.0)
    soft: float = 0.0
    flip: bool = True
    colour: float = 0.0


LOSSES = {
    "tiny": SOVQAELoss(
        **{"codebook": 1.0, "commitment": 0.1, "consistency": 0.2, "quantise_from": 600},
        **{"judge": 0.02, "adaptive": False, "matching": 0.1, "judge_from": 1500},
    ),
    "base": SOVQAELoss(),
}
BATCHES = {
    "tiny": SOVQAETraining(batch_size=16, patch=128, scales=(0.85, 1.6), soft=0.75, colour=0.15),
    "base": SOVQAETraining(batch_size=32),
}
TRAINING = {
    "tiny": TrainConfig(
        lr=5e-4, schedule="cosine", warmup=50, final_lr=0.05, beta2=0.99, ema_decay=0.995, precision="bf16"
    ),
    "base": TrainConfig(
        lr=7e-5, schedule="cosine", final_lr=6 / 7, optimiser="adam", beta2=0.99, ema_decay=0.995, precision="bf16"
    ),
}
STEPS = {"tiny": 5000, "base": 1_600_000}
OWN_STEPS = {"tiny": 400, "base": 20_000}
"""From the weights of many people to one person's own."""

FITTED = 96
"""Patches that the decoder's linear layer is fitted to before the first step."""


class SOVQAERecipe:
    """Trains the SOVQAE on aligned crops, uint8 [N, S, S, 3], S not below the model's size nor the largest patch's."""

    name = "sovqae"

    def __init__(
        self,
        crops: NDArray[np.uint8],
        data: str,
        config: SOVQAEConfig,
        judge: DiscriminatorConfig,
        loss: SOVQAELoss | None = None,
        training: SOVQAETraining | None = None,
        perceptual: Perceptual | None = None,
        init: str | Path | None = None,
        compile: bool = False,
    ) -> None:
        """`data` names the set. `init` is a checkpoint to begin with, for one person's own. `perceptual` takes the
        place of `TextureLoss`. `compile` fuses the networks with torch.compile.
        """
        self.data, self.settings = data, config
        self.weights, self.training = loss or SOVQAELoss(), training or SOVQAETraining()
        self.crops, self._compile = crops, compile
        self.side = self.training.patch or config.image_size
        self._check()
        self.config: Mapping[str, Any] = {
            "sovqae": config.to_dict(),
            "judge": judge.to_dict(),
            "loss": asdict(self.weights),
            "training": asdict(self.training),
            "perceptual": type(perceptual or TextureLoss).__name__ if perceptual else "TextureLoss",
            "init": Path(init).stem if init else None,
        }
        self.sovqae = SOVQAE(config).to(memory_format=torch.channels_last)
        self.judge = PatchDiscriminator(judge).to(memory_format=torch.channels_last)
        if init:
            load_sovqae_into(self.sovqae, init)
        elif config.bypass:
            chance = np.random.default_rng(0)
            fit_sharpening(self.sovqae, [self.batch(n, chance) for n in range(FITTED // self.training.batch_size + 1)])
        self.perceptual = perceptual or TextureLoss()
        self.modules: dict[str, nn.Module] = {"sovqae": self.sovqae, "judge": self.judge}
        self._encode, self._decode = self.sovqae.encoder, self.sovqae.decoder

    def _check(self) -> None:
        found, factor = self.crops.shape, self.settings.factor
        if self.crops.ndim != 4 or found[1] != found[2] or found[3] != 3 or self.crops.dtype != np.uint8:
            raise InputError(f"crops of shape {list(found)}, {self.crops.dtype}; give squares, uint8 [N, S, S, 3].")
        if self.side % factor:
            raise InputError(f"patches of {self.side} px do not divide by the model's factor {factor}.")
        largest = round(self.side * self.training.scales[1])
        if found[1] < largest:
            raise InputError(f"crops of {found[1]} px are smaller than patches of {largest} px; prepare larger crops.")

    def prepare(self, device: torch.device) -> None:
        """Takes the perceptual loss to the device and compiles the networks, where asked to."""
        if isinstance(self.perceptual, nn.Module):
            self.perceptual.to(device)
        if self._compile:
            self._encode = torch.compile(self.sovqae.encoder, dynamic=False)
            self._decode = torch.compile(self.sovqae.decoder, dynamic=False)

    def batch(self, step: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """`real` and `seen`, uint8 [B, S, S, 3]: the sharp patches and what the encoder is shown of them; whose codes
        are decoded (`taught` [B]: 1 those of the sharp one) and how early they are quantised (`early` [B], 0..1)."""
        chosen = np.sort(rng.integers(0, len(self.crops), self.training.batch_size))
        real = [self._patch(self.crops[n], rng) for n in chosen]
        seen = [soften(p, Softness.draw(rng)) if rng.random() < self.training.soft else p for p in real]
        batch = {name: torch.from_numpy(np.stack(frames)) for name, frames in (("real", real), ("seen", seen))}
        batch["taught"] = torch.from_numpy(rng.integers(0, 2, len(real)))
        batch["early"] = torch.from_numpy(rng.random(len(real), np.float32))
        return batch

    def _patch(self, crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        size, side, training = crop.shape[0], self.side, self.training
        cut = round(side * rng.uniform(*training.scales)) if training.patch else size
        # The lower half is what Wav2Lip paints: the higher of two draws lies lower.
        top, left = rng.integers(0, size - cut + 1, 2).max(), rng.integers(0, size - cut + 1)
        patch = crop[top : top + cut, left : left + cut]
        if cut != side:
            patch = cv2.resize(patch, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC)
        if training.flip and rng.random() < 0.5:
            patch = patch[:, ::-1]
        if training.colour:
            gain = 1 + training.colour * rng.uniform(-1, 1) + training.colour / 3 * rng.uniform(-1, 1, 3)
            patch = np.clip((patch - 128.0) * gain + 128 + 80 * training.colour * rng.uniform(-1, 1), 0, 255)
        return np.ascontiguousarray(patch, np.uint8)

    def loss(self, batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        """The auto-encoder's losses and, from `judge_from` on, the judge's own, which reach the judge alone."""
        w, net = self.weights, self.sovqae
        real, seen = (_pixels(batch[name]) for name in ("real", "seen"))
        quantised = net.quantiser(self._encode(net.view(torch.cat([seen, real]) if w.consistency else seen)))
        z, z_q, low = quantised.z, quantised.z_q, net.low(seen)
        losses = {}
        if w.consistency:
            z_seen, q_real = z[: len(real)], z_q[len(real) :].detach()
            losses["consistency"] = F.mse_loss(z_seen, q_real)
            # Sharp codes beside a soft low band: fine texture then comes from the codes and from nowhere else.
            source = torch.arange(len(real), device=z.device) + len(real) * batch["taught"]
            z, z_q = z[source], z_q[source]
        if step < w.quantise_from:
            z_q = torch.where((batch["early"] > step / w.quantise_from)[:, None, None, None], z.to(z_q.dtype), z_q)
        made = self._decode(z_q, low).float()
        losses |= {
            "l1": (made - real).abs().mean(),
            "perceptual": self.perceptual(made, real),
            "codebook": quantised.codebook,
            "commitment": quantised.commitment,
        }
        if w.spread and net.config.codebook.update == "gradient":
            losses["spread"] = spread(net.quantiser.vectors, net.quantiser.used, w.spread_margin)
        picture = w.l1 * losses["l1"] + w.perceptual * losses["perceptual"]
        # Encodings that mean nothing yet would all come to agree.
        grown = min(1.0, step / w.quantise_from) if w.quantise_from else 1.0
        total = picture + sum(
            getattr(w, name) * losses[name] * (grown if name in ("commitment", "consistency") else 1)
            for name in losses.keys() - {"l1", "perceptual"}
        )
        if w.judge and step >= w.judge_from:
            total = total + self._judged(made, real, picture, losses)
        elif w.judge:
            # It takes part in every loss, as the engine asks, and learns nothing yet.
            total = total + 0 * sum(weight.sum() for weight in self.judge.parameters())
        return {"loss": total, **losses, "perplexity": quantised.perplexity}

    def _judged(self, made: Tensor, real: Tensor, picture: Tensor, losses: dict[str, Tensor]) -> Tensor:
        w = self.weights
        on_real, on_made = self.judge(real), self.judge(made.detach())
        maps = judged(self.judge, made)
        losses["judge"] = generator_hinge(maps[-1])
        losses["judge_own"] = judge_hinge(on_real[-1], on_made[-1])
        weight = torch.tensor(w.judge, device=made.device)
        if w.adaptive:
            weight = weight * adaptive_weight(picture, losses["judge"], self.sovqae.decoder.last.weight)
        total = weight * losses["judge"] + losses["judge_own"]
        if w.matching:
            losses["matching"] = feature_matching(maps, on_real)
            total = total + w.matching * losses["matching"]
        return total

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Six crops as Wav2Lip would hand them on, above what becomes of them and the truth."""
        chosen = np.linspace(0, len(self.crops) - 1, 6).astype(int)
        size = self.settings.image_size
        real = np.stack([cv2.resize(self.crops[n], (size, size), interpolation=cv2.INTER_AREA) for n in chosen])
        seen = np.stack([soften(frame, Softness(sigma=0.5)) for frame in real])
        device = next(modules["sovqae"].parameters()).device
        made = modules["sovqae"](_pixels(torch.from_numpy(seen).to(device))).frames.float().cpu()
        made = rearrange(((made.clamp(-1, 1) + 1) * 127.5).round().byte(), "n c h w -> n h w c").numpy()
        return rearrange(np.stack([seen, made, real]), "r n h w c -> (r h) (n w) c")

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The auto-encoder alone: the judge has done its work."""
        save_checkpoint(
            path, SYSTEM, {COMPONENT: ema_modules["sovqae"]}, {COMPONENT: self.settings.to_dict()}, provenance
        )


@torch.no_grad()
def fit_sharpening(net: SOVQAE, batches: Sequence[dict[str, Tensor]], ridge: float = 1e-3) -> None:
    """Give the decoder's linear layer its best weights by least squares, which descent would take long to find.

    `batches` are the recipe's. The layer maps the folded low band of what is seen to what the sharp picture has more.
    """
    layer, fold = net.decoder.sharpen, net.decoder.fold
    gram = moment = 0.0
    for batch in batches:
        real, low = _pixels(batch["real"]), net.low(_pixels(batch["seen"]))
        # Zeros beyond the border say nothing of pictures: without padding the edges are left out.
        inputs = rearrange(F.unfold(fold(low), 3), "b i l -> (b l) i")
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        outputs = rearrange(fold((real - low) / DETAIL)[..., 1:-1, 1:-1], "b o h w -> (b h w) o")
        gram, moment = gram + inputs.T @ inputs, moment + inputs.T @ outputs
    even = ridge * gram.diagonal().mean() * torch.eye(len(gram))
    solved = torch.linalg.solve((gram + even).double(), moment.double()).T.float()
    layer.weight.copy_(solved[:, :-1].reshape(layer.weight.shape))
    layer.bias.copy_(solved[:, -1])


def own(loss: SOVQAELoss) -> SOVQAELoss:
    """The weights for going on from a trained model, say to one person's own: everything counts from the first step."""
    return replace(loss, quantise_from=0, judge_from=0)


def load_sovqae_into(net: SOVQAE, source: str | Path) -> SOVQAE:
    """The weights of a checkpoint, by name or path, in `net`. Raises CheckpointError where they do not fit."""
    return read_checkpoint(find_checkpoint(source), SYSTEM).load_into(net, COMPONENT)


def _pixels(frames: Tensor) -> Tensor:
    return rearrange(frames, "b h w c -> b c h w").float() / 127.5 - 1
