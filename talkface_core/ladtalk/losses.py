"""The losses of Wav2Lip (Prajwal et al. 2020, equations 1 to 5) and what a small training set needs besides.

Published: (1 - s - g) L1 + s E_sync + g L_gen, where s is 0 until the expert finds the outputs in step well enough.
Ours: a weight on the mouth, errors of contrast at several sizes beside those of colour, and the region that is pasted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..faces.landmarks import MOUTH


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts.

    sync: s once it is switched on; threshold: sync loss of the outputs below which it is; gan: g; mouth: extra weight
    of L1 at the mouth's centre; detail: share of L1 that compares contrasts instead of colours; upper: weight of the
    half that is not repainted; heard: weight of reading the lips' shape off the sound's vector; carried: weight of the
    reconstruction by what was moved alone; paint: of the share of the lower half that is painted; lips: of the
    landmarks that a frozen reader finds in the picture; spread: of how their openings are distributed in a batch.
    """

    sync: float = 0.03
    gan: float = 0.0
    threshold: float = 0.75
    mouth: float = 0.0
    detail: float = 0.0
    upper: float = 1.0
    heard: float = 0.0
    carried: float = 0.0
    paint: float = 0.0
    lips: float = 0.0
    spread: float = 0.0


def combined(l1: Tensor, sync: Tensor, gan: Tensor, sync_weight: float | Tensor, gan_weight: float) -> Tensor:
    """(1 - s - g) L1 + s E_sync + g L_gen."""
    return (1 - sync_weight - gan_weight) * l1 + sync_weight * sync + gan_weight * gan


def region_weights(landmarks: Tensor, size: int, mouth: float, upper: float) -> Tensor:
    """How much each pixel counts [B,1,S,S], mean 1, from landmarks [B,68,2] in pixels of the crop.

    1 in the lower half, `upper` in the other; more under a bump over the mouth, which is as wide as the lips are.
    """
    grid = torch.arange(size, device=landmarks.device, dtype=landmarks.dtype) + 0.5
    lips = landmarks[:, MOUTH]
    centre = lips.mean(1)
    width = (lips[..., 0].amax(1) - lips[..., 0].amin(1)).clamp(min=size / 12)[:, None]
    dx, dy = (grid - centre[:, :1]) / (0.45 * width), (grid - centre[:, 1:]) / (0.4 * width)
    bump = torch.exp(-dx.square() / 2)[:, None, :] * torch.exp(-dy.square() / 2)[:, :, None]
    weights = 1 + mouth * bump
    weights = weights * torch.where(grid >= size // 2, 1.0, upper)[:, None]
    return (weights / weights.mean((1, 2), keepdim=True))[:, None]


def reconstruction(generated: Tensor, real: Tensor, weights: Tensor | None = None, detail: float = 0.0) -> Tensor:
    """Mean absolute error of pictures [B,3,S,S], each pixel counting `weights` [B,1,S,S].

    A share `detail` of it compares contrasts: differences to a blurred copy at three sizes (a Laplacian pyramid), where
    lips, teeth and shadows differ and plain skin does not; so the mean of two mouths costs more than either.
    """
    error = generated.float() - real.float()
    weights = torch.ones_like(error[:, :1]) if weights is None else weights
    loss = (error.abs() * weights).mean()
    if not detail:
        return loss
    total, count = error.new_zeros(()), 3
    for _ in range(count):
        smaller = F.avg_pool2d(error, 2)
        contrast = error - F.interpolate(smaller, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + (contrast.abs() * weights).mean()
        error, weights = smaller, F.avg_pool2d(weights, 2)
    # Contrasts are smaller than colours: the factor brings both to one size on faces.
    return (1 - detail) * loss + detail * 4 * total / count


def without_gradient(net: nn.Module, *inputs: Tensor) -> Tensor:
    """What a network makes of its inputs, with a gradient to the inputs and none to its weights."""
    weights = {name: weight.detach() for name, weight in net.named_parameters()}
    return functional_call(net, weights, inputs)


def adversarial(discriminator: nn.Module, generated: Tensor) -> Tensor:
    """L_gen: binary cross-entropy of the generator's wish that its pictures pass as real; none for the
    discriminator."""
    logits = without_gradient(discriminator, generated)
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))


def discriminator_loss(discriminator: nn.Module, generated: Tensor, real: Tensor) -> Tensor:
    """L_disc: binary cross-entropy on real pictures plus that on generated ones; none for the generator."""
    logits = discriminator(torch.cat([real, generated.detach()]))
    labels = torch.cat([logits.new_ones(len(real)), logits.new_zeros(len(generated))])
    return 2 * F.binary_cross_entropy_with_logits(logits, labels)
