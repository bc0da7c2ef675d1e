"""The losses of Wav2Lip (Prajwal et al. 2020, equations 1 to 5) and what a small training set needs besides.

Published: (1 - s - g) L1 + s E_sync + g L_gen, where s is 0 until the expert finds the outputs in step well enough.
Ours: a weight on the mouth, errors of contrast at several sizes beside those of colour, and the region that is pasted
(faces/picture_loss.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


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
