"""Mouths repainted by the inpainting decoder: lip latents, a reference and a face to the face that says them.

Source: DiffDub (Liu et al. 2024), first stage, on DAE-Talker's decoding: all frames begin with one noise x_T. At every
step the face outside of the mouth is put back as it is; a reference of the same person stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import without_autocast
from ..diffusion.sampling import Callback, get_sampler, inpainting, noise
from ..errors import InputError
from .autoencoder import DiffusionAutoencoder
from .decode import sampling

EDGE = 2
"""Pixels over which what is painted passes into the face around it."""


@dataclass(frozen=True)
class Inpainting:
    """How mouths are sampled. sampler and steps (evaluations of the decoder): the model's own where None; seed: of the
    noise that all frames begin with."""

    sampler: str | None = None
    steps: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampler is not None:
            get_sampler(self.sampler)
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise InputError(f"{self.steps} sampling steps; give 1 to 1000, 20 are as published.")


@torch.no_grad()
def inpaint(
    model: DiffusionAutoencoder,
    faces: Tensor,
    regions: Tensor,
    reference: Tensor,
    latents: Tensor,
    x_T: Tensor,
    settings: Inpainting | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Pictures [n,3,S,S] in -1..1, as the decoder makes them, whole.

    faces [n,3,S,S] in -1..1, of which `regions` (bool [n,1,S,S]) are painted; reference [1 or n,3,S,S] in -1..1;
    latents [n,D] of their lips; x_T [3,S,S]. All on the model's device. Raises InputError for shapes that do not fit.
    """
    settings, size = settings or Inpainting(), model.config.image_size
    if faces.shape[1:] != (3, size, size) or x_T.shape != faces.shape[1:]:
        raise InputError(f"faces of shape {list(faces.shape)} and x_T {list(x_T.shape)}; this model paints {size} px.")
    if latents.shape != (len(faces), model.config.latent_dim):
        raise InputError(
            f"latents of shape {list(latents.shape)} for {len(faces)} faces; give [{len(faces)}, "
            f"{model.config.latent_dim}]."
        )
    run, ts = sampling(model.config, settings.sampler, settings.steps)
    shown = reference.expand(len(faces), -1, -1, -1)
    with without_autocast(faces.device):
        denoise = inpainting(model.denoiser(latents, shown), faces, regions)
        return run(denoise, x_T.expand_as(faces), model.config.schedule, ts, callback=callback)


def soft(regions: Tensor, edge: int = EDGE) -> Tensor:
    """Regions (bool [n,1,S,S]) as shares of paint, float32 in 0..1: the edge rises inwards, outside all is 0."""
    inside = -F.max_pool2d(-regions.float(), 2 * edge + 1, 1, edge)
    return F.avg_pool2d(inside, 2 * edge + 1, 1, edge)


def shared_start(model: DiffusionAutoencoder, seed: int | torch.Generator) -> Tensor:
    """x_T [3,S,S] on the CPU."""
    return noise((3, model.config.image_size, model.config.image_size), seed)
