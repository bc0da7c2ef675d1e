"""Stage 1 of training: the diffusion autoencoder on single frames of one speaker (DAE-Talker, Du et al. 2023).

The published loss is the U-Net's mean squared error, jointly over encoder and decoder (Preechakul et al. 2022, eq. 6).
Three levers make it fit a small machine, each a setting: noise levels drawn towards pure noise, where z alone decides
the picture; a weight on mouth and eyes; a linear read-out of the landmarks from z, so that the latent space spends its
variance on what speech moves. `base` with the published settings uses none of them.
Stage 2, speech to latents, is in recipe_speech2latent.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import save_checkpoint
from ..datasets.clips import ClipSet, open_splits
from ..device import channels_last
from ..diffusion.parameterisation import diffuse, target
from ..diffusion.sampling import SAMPLERS, shared_noise
from ..diffusion.schedules import timesteps
from ..faces.landmarks import LEFT_EYE, MOUTH, RIGHT_EYE
from ..pixels import signed_to_unit, to_bytes, to_signed
from ..training.arguments import add_batch_size, add_compile, add_preset
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from .autoencoder import AutoencoderConfig, DiffusionAutoencoder
from .model import SYSTEM


@dataclass(frozen=True)
class AutoencoderLoss:
    """What is added to the published loss.

    `noise_bias` p draws t with a density that grows as t^p (0: uniform, as published). `region_weight` is the extra
    weight at the centre of the mouth (half of it at the eyes). `readout_weight` scales the landmark read-out.
    """

    noise_bias: float = 0.0
    region_weight: float = 0.0
    readout_weight: float = 0.0


LOSSES = {
    "tiny": AutoencoderLoss(noise_bias=1.0, region_weight=2.0, readout_weight=0.3),
    "base": AutoencoderLoss(),
}
TRAINING = {
    "tiny": TrainConfig(
        lr=1e-3,
        schedule="cosine",
        warmup=200,
        final_lr=0.02,
        beta2=0.99,
        weight_decay=1e-3,
        ema_decay=0.999,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-4, optimiser="adam", ema_decay=0.9999, precision="auto"),
}
BATCH_SIZE = {"tiny": 16, "base": 64}
STEPS = {"tiny": 7000, "base": 1_000_000}


class AutoencoderRecipe(Recipe):
    """Trains the diffusion autoencoder on all frames of a clip set, shown at the model's size."""

    name = "dae-talker-autoencoder"

    def __init__(
        self,
        clips: ClipSet,
        config: AutoencoderConfig,
        cache_dir: str | Path,
        batch_size: int = 24,
        loss: AutoencoderLoss | None = None,
        compile: bool = False,
        quiet: bool = False,
    ) -> None:
        """`cache_dir` holds the decoded frames. `compile` fuses the networks with torch.compile: about twice as fast on
        a CPU after some minutes of compiling; it needs a C++ compiler and changes results only by rounding.
        """
        self.data, self.settings, self.weights = clips.name, config, loss or AutoencoderLoss()
        self.config: Mapping[str, Any] = {
            "autoencoder": config.to_dict(),
            "loss": asdict(self.weights),
            "batch_size": batch_size,
        }
        self.batch_size, self._compile = batch_size, compile
        self.frames = clips.frame_cache(config.image_size, cache_dir, quiet)
        self.landmarks = clips.landmarks if self.weights.region_weight or self.weights.readout_weight else None
        self.autoencoder = channels_last(DiffusionAutoencoder(config))
        self.modules: dict[str, nn.Module] = {"autoencoder": self.autoencoder}
        if self.weights.readout_weight:
            self.modules["readout"] = nn.Linear(config.latent_dim, self.landmarks[0].size)
            self._landmark_mean = torch.from_numpy(self.landmarks.mean(0))
            self._landmark_scale = float(self.landmarks.std(0).mean())
        self._encode, self._predict = self.autoencoder.encoder, self.autoencoder.unet

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_compile(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        preset, (clips, _) = args.preset, open_splits(args.data)
        batch_size = args.batch_size or BATCH_SIZE[preset]
        config = AutoencoderConfig.preset(preset)
        recipe = cls(clips, config, args.cache, batch_size, LOSSES[preset], compile=args.compile, quiet=args.quiet)
        return Plan(recipe, TRAINING[preset], STEPS[preset])

    def prepare(self, device: torch.device) -> None:
        """Moves the read-out's normaliser to the device and compiles the networks, where asked to."""
        if self.weights.readout_weight:
            self._landmark_mean = self._landmark_mean.to(device)
        if self._compile:
            self._encode = torch.compile(self.autoencoder.encoder, dynamic=False)
            self._predict = torch.compile(self.autoencoder.unet, dynamic=False)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """Frames uint8 [B, H, W, 3], time steps [B] with their alpha and sigma, noise [B, H, W, 3] and, where needed,
        landmarks [B, 68, 2]."""
        size, steps = self.settings.image_size, self.settings.schedule.steps
        chosen = np.sort(rng.integers(0, len(self.frames), self.batch_size))
        # The inverse of the cumulative density u^(p+1) draws from t^p.
        share = rng.random(self.batch_size) ** (1 / (1 + self.weights.noise_bias))
        t = torch.from_numpy(np.minimum(share * steps, steps - 1).astype(np.int64))
        alpha, sigma = self.settings.schedule.alpha_sigma(t)
        batch = {
            "frames": torch.from_numpy(self.frames[chosen]),
            **{"t": t, "alpha": alpha, "sigma": sigma},
            "eps": torch.from_numpy(rng.standard_normal((self.batch_size, size, size, 3), dtype=np.float32)),
        }
        if self.landmarks is not None:
            batch["landmarks"] = torch.from_numpy(self.landmarks[chosen])
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Weighted mean squared error of the prediction, plus the read-out's."""
        x0, eps = (rearrange(t, "b h w c -> b c h w") for t in (to_signed(batch["frames"]), batch["eps"]))
        alpha, sigma = batch["alpha"], batch["sigma"]
        z = self._encode(x0)
        out = self._predict(diffuse(x0, eps, alpha, sigma), batch["t"], z)
        error = (out.float() - target(self.settings.prediction, x0, eps, alpha, sigma)) ** 2
        losses = {"mse": error.mean()}
        losses["loss"] = losses["mse"]
        if self.weights.region_weight:
            weight = 1 + self.weights.region_weight * region_map(batch["landmarks"], self.settings.image_size)
            losses["loss"] = losses["weighted"] = (weight * error).mean()
        if self.weights.readout_weight:
            wanted = (batch["landmarks"] - self._landmark_mean) / self._landmark_scale
            read = self.modules["readout"](z).float()
            losses["readout"] = F.mse_loss(read, wanted.flatten(1))
            losses["loss"] = losses["loss"] + self.weights.readout_weight * losses["readout"]
        return losses

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Eight frames of the set above what the default sampler makes of their latents and one shared x_T."""
        model = modules["autoencoder"]
        chosen = np.linspace(0, len(self.frames) - 1, 8).astype(int)
        device = next(model.parameters()).device
        frames = rearrange(to_signed(torch.from_numpy(self.frames[chosen]).to(device)), "n h w c -> n c h w")
        z = model.encode(frames).float()
        sampling, schedule = self.settings.sampling, self.settings.schedule
        x_T = shared_noise(frames.shape[1:], 0, len(frames), device)
        ts = timesteps(schedule, sampling.steps, sampling.spacing)
        reconstructions = SAMPLERS[sampling.sampler](model.denoiser(z), x_T.contiguous(), schedule, ts)
        rows = rearrange(torch.stack([frames, reconstructions]), "r n c h w -> (r h) (n w) c")
        return to_bytes(signed_to_unit(rows)).cpu().numpy()

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The autoencoder alone: stage 2 adds the rest of the system."""
        components = {"autoencoder": ema_modules["autoencoder"]}
        save_checkpoint(path, SYSTEM, components, {"autoencoder": self.settings.to_dict()}, provenance)


def region_map(landmarks: Tensor, size: int) -> Tensor:
    """Bumps at mouth (height 1) and eyes (height 1/2) of landmarks [B, 68, 2] in shares of the frame: [B, 1, S, S].

    They are Gaussians as wide as the region's own spread of points, so that they follow the size of the face.
    """
    grid = (torch.arange(size, device=landmarks.device, dtype=landmarks.dtype) + 0.5) / size
    total = torch.zeros(len(landmarks), size, size, device=landmarks.device, dtype=landmarks.dtype)
    for points, height in ((MOUTH, 1.0), (RIGHT_EYE, 0.5), (LEFT_EYE, 0.5)):
        region = landmarks[:, points]
        centre, spread = region.mean(1), (region.amax(1) - region.amin(1))[:, :1] / 2
        dx = (grid[None] - centre[:, :1]) / spread
        dy = (grid[None] - centre[:, 1:]) / (0.7 * spread)
        bump = torch.exp(-(dx**2) / 2)[:, None, :] * torch.exp(-(dy**2) / 2)[:, :, None]
        total = torch.maximum(total, height * bump)
    return total[:, None]
