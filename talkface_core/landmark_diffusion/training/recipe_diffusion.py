"""Stage 3 of training: the denoiser with TalkFormer, under true landmarks (recipe `landmark-diffusion`).

    python -m talkface_core train landmark-diffusion --data SET/train --stills PORTRAITS --autoencoder FILE --out RUN

FILE is what landmark-autoencoder trained, or a public file of Stable Diffusion's autoencoder, for 256 px.

Source: Zhong et al. 2024: latent diffusion of the lower half with landmarks of the truth, the autoencoder frozen. The
mean squared error counts the lower half alone, and the mouth more; time steps are drawn towards pure noise, where
landmarks and references decide the picture. Landmarks are disturbed a little, as those of a tracker or of a completion
are.
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

from ...checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ...components import build
from ...datasets.stills import StillFaces
from ...datasets.talking_faces import TalkingFaces, open_talking_faces
from ...device import HALF_ON_CPU, channels_last
from ...diffusion.parameterisation import diffuse, target
from ...faces.picture_loss import region_weights
from ...training.arguments import add_batch_size, add_compile, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from .. import autoencoder as latent
from ..autoencoder import AUTOENCODER, ReferenceAutoencoder
from ..denoiser import COMPONENT, DenoiserConfig, LandmarkDenoiser, inpainted
from ..kl_autoencoder import is_kl_autoencoder, kl_space, read_kl_autoencoder
from ..landmarks import SYSTEM
from ..latent_space import LatentSpace, known_part
from ..painter import Sampling, TalkFormerModel
from .picture_batches import PictureBatches, PictureSampler
from .recipe_autoencoder import add_stills, read_stills, rows, signed

TRAINING = {
    "tiny": TrainConfig(
        lr=1e-3,
        schedule="cosine",
        warmup=100,
        final_lr=0.02,
        beta2=0.99,
        weight_decay=1e-3,
        ema_decay=0.998,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-4, schedule="cosine", warmup=1000, ema_decay=0.9999, precision="auto"),
}
BATCHES = {"tiny": PictureBatches(singles=20, stills=4), "base": PictureBatches(singles=48, stills=16)}
STEPS = {"tiny": 6000, "base": 500_000}


@dataclass(frozen=True)
class DiffusionLoss:
    """noise_bias: p of the density t^p that time steps are drawn with; mouth: extra weight of the mouth's centre;
    jitter: deviation of the landmarks' noise, by the crop's side."""

    noise_bias: float = 1.0
    mouth: float = 4.0
    jitter: float = 0.002


class DiffusionRecipe(Recipe):
    """Trains a `LandmarkDenoiser` in the space of a frozen autoencoder; `val` is drawn in the samples."""

    name = "landmark-diffusion"

    def __init__(
        self,
        data: TalkingFaces,
        autoencoder: LatentSpace,
        config: DenoiserConfig | None = None,
        val: TalkingFaces | None = None,
        stills: StillFaces | None = None,
        batches: PictureBatches | None = None,
        weights: DiffusionLoss | None = None,
        compile: bool = False,
    ) -> None:
        """`compile` fuses the denoiser with torch.compile."""
        config = (config or DenoiserConfig()).within(autoencoder)
        # The norms of half-precision maps this small are slow on a CPU in any other layers.
        self.net = channels_last(LandmarkDenoiser(config, HALF_ON_CPU).train_all())
        self.autoencoder = channels_last(autoencoder.eval())
        self.autoencoder.requires_grad_(False)
        self.settings = replace(batches or PictureBatches(), references=autoencoder.references)
        self.weights, self._compile, self.data = weights or DiffusionLoss(), compile, data.name
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self.sampler = PictureSampler(data, self.settings, stills)
        self.config: Mapping[str, Any] = {
            "talkformer": config.to_dict(),
            "autoencoder": autoencoder.settings(),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "stills": 0 if stills is None else len(stills.frames),
        }
        plain = replace(self.settings, windows=0, singles=8, stills=0, any=0.0, same=0.0, speaking=1.0, augment=False)
        self._held_out = PictureSampler(val or data, plain).batch(np.random.default_rng(0))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_compile(parser)
        add_stills(parser)
        add_autoencoder(parser)
        add_alignments(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        autoencoder, batches = read_space(args.autoencoder), BATCHES[args.preset]
        size, left_out = autoencoder.size, args.without or ()
        data, val = open_talking_faces(args.data, size, args.cache, seed=args.seed, quiet=args.quiet)
        if args.batch_size:
            batches = replace(batches, singles=args.batch_size, stills=args.batch_size // 4)
        config = DenoiserConfig.preset(
            args.preset, motion="m-align" not in left_out, reference="r-align" not in left_out
        )
        recipe = cls(data, autoencoder, config, val, read_stills(args, size), batches, compile=args.compile)
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    def prepare(self, device: torch.device) -> None:
        """Moves the autoencoder to the device and compiles the loss, where asked to."""
        self.autoencoder.to(device)
        if self._compile:
            self._error = torch.compile(self._error, dynamic=False)  # type: ignore[method-assign]

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch, config = self.sampler.batch(rng), self.net.config
        count = len(batch["faces"])
        return {**batch, **drawn_noise(config, count, self.weights.noise_bias, rng), **self._jitter(batch, rng)}

    def _jitter(self, batch: Batch, rng: np.random.Generator) -> Batch:
        noise = self.weights.jitter * rng.standard_normal(batch["landmarks"].shape, dtype=np.float32)
        return {"landmarks": batch["landmarks"] + torch.from_numpy(noise)}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Mean squared error of the prediction in the lower half, the mouth counting more, and as it is."""
        faces = signed(batch["faces"])
        with torch.no_grad():
            x0, known = self.autoencoder.encode(torch.cat([faces, known_part(faces)])).float().chunk(2)
            theirs, latents = batch["reference_landmarks"], self._latents(signed(batch["references"]))
        return self._error(
            x0, known, latents, batch["landmarks"], theirs, *(batch[k] for k in ("t", "alpha", "sigma", "eps"))
        )

    def _latents(self, references: Tensor) -> Tensor:
        """The latents [B,R,C,H,W] of references [B,R,3,S,S]."""
        flat = self.autoencoder.encode(rearrange(references, "b r c h w -> (b r) c h w"))
        return rearrange(flat, "(b r) c h w -> b r c h w", b=len(references))

    def _error(
        self,
        x0: Tensor,
        known: Tensor,
        latents: Tensor,
        landmarks: Tensor,
        theirs: Tensor,
        t: Tensor,
        alpha: Tensor,
        sigma: Tensor,
        eps: Tensor,
    ) -> dict[str, Tensor]:
        kind = self.net.config.prediction
        x_t = diffuse(inpainted(x0, known), eps, alpha, sigma)
        condition = reference_condition(self.net, landmarks, latents, theirs)
        out = self.net(x_t, t, known, condition).float()
        half = x0.shape[-2] // 2
        error = (out - target(kind, x0, eps, alpha, sigma)).square()[..., half:, :]
        count = region_weights(landmarks * x0.shape[-1], x0.shape[-1], self.weights.mouth, 1.0)[..., half:, :]
        return {"loss": (error * count).mean(), "mse": error.mean()}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Of people held out: both references, what was painted in four steps, and the truth, one below the other."""
        model = TalkFormerModel(self.autoencoder, cast(LandmarkDenoiser, modules[COMPONENT]))
        return painted_rows(model, self._held_out)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The denoiser and the autoencoder whose space it works in; not Stable Diffusion's, which is a file itself."""
        components, configs = {COMPONENT: ema_modules[COMPONENT]}, {COMPONENT: self.net.config.to_dict()}
        if isinstance(self.autoencoder, ReferenceAutoencoder):
            components[latent.COMPONENT] = self.autoencoder
            configs[latent.COMPONENT] = self.autoencoder.config.to_dict()
        save_checkpoint(path, SYSTEM, components, configs, provenance, torch.float16)


def reference_condition(net: LandmarkDenoiser, landmarks: Tensor, latents: Tensor, theirs: Tensor) -> Any:
    """The condition of faces with landmarks [B,N,2] and references' latents [B,R,C,H,W] and landmarks [B,R,N,2]."""
    count = latents.shape[1]
    found = net.keys_values(latents.flatten(0, 1), theirs.flatten(0, 1))
    joined = tuple(
        (rearrange(k, "(b r) l c -> b (r l) c", r=count), rearrange(v, "(b r) l c -> b (r l) c", r=count))
        for k, v in found
    )
    return net.condition(landmarks, joined, theirs)


def drawn_noise(config: DenoiserConfig, count: int, bias: float, rng: np.random.Generator, same: int = 1) -> Batch:
    """Time steps t [n], their alpha and sigma, and noise eps [n,C,H,W]; the first `same` of each are one."""
    steps, side = config.schedule.steps, config.latent_size
    share = rng.random(count) ** (1 / (1 + bias))
    t = torch.from_numpy(np.minimum(share * steps, steps - 1).astype(np.int64))
    eps = torch.from_numpy(rng.standard_normal((count, config.latent_channels, side, side), dtype=np.float32))
    t[:same], eps[:same] = t[0].clone(), eps[0].clone()
    alpha, sigma = config.schedule.alpha_sigma(t)
    return {"t": t, "alpha": alpha, "sigma": sigma, "eps": eps}


def painted_rows(model: TalkFormerModel, held: Batch) -> NDArray[np.uint8]:
    """References, painted faces and truth of a plain batch, one below the other."""
    device = model.device
    faces, shown = (signed(held[name].to(device)) for name in ("faces", "references"))
    flat, theirs = shown.flatten(0, 1), held["reference_landmarks"].to(device).flatten(0, 1)
    encoded = model.encode_references(flat / 2 + 0.5, theirs)
    index = torch.arange(len(flat), device=device).reshape(len(faces), -1)
    painted = model.paint(faces / 2 + 0.5, held["landmarks"].to(device), encoded.at(index), Sampling())[:, :3]
    return rows([*shown.unbind(1), 2 * painted - 1, faces])


def add_autoencoder(parser: argparse.ArgumentParser) -> None:
    """The flag `--autoencoder`."""
    parser.add_argument(
        "--autoencoder",
        metavar="FILE",
        required=True,
        help="the latent space: what landmark-autoencoder trained, or Stable Diffusion's VAE, for 256 px",
    )


def add_alignments(parser: argparse.ArgumentParser) -> None:
    """The flag `--without`, for ablations."""
    parser.add_argument(
        "--without", choices=("m-align", "r-align"), action="append", help="leave an alignment out, to see what it does"
    )


def read_space(path: str | Path) -> LatentSpace:
    """The autoencoder of a file, float32: a trained one, or Stable Diffusion's. Raises CheckpointError."""
    found = find_checkpoint(path)
    if is_kl_autoencoder(found):
        return kl_space(read_kl_autoencoder(found))
    return build(read_checkpoint(found, SYSTEM), AUTOENCODER)
