"""The SOVQAE's own losses: the discriminator's terms, and the repulsion of the codebook's vectors.

L1 and the hinge of the patch discriminator with its adaptive weight are VQGAN's (Esser et al. 2021, eqs. 4 to 7;
hinge: Lim & Ye 2017), as CodeFormer's first stage uses them. Its perceptual loss, LPIPS, needs a trained VGG; without
those weights `TextureLoss` takes its place (training/texture_loss.py). `codebook_repulsion` is the regulariser that
makes the codebook "space-optimised": LaDTalk tells that it enlarges the bound on noise (v1 to v3), not its formula;
here it is a hinge repulsion.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


def codebook_repulsion(vectors: Tensor, used: Tensor, margin: float) -> Tensor:
    """Hinge repulsion: mean over pairs of used codes of max(0, margin - ||c_i - c_j||)^2. vectors [N, D], used [N]."""
    # Distances from inner products: a matrix of pairs instead of a tensor of differences.
    with torch.autocast(vectors.device.type, enabled=False):
        squares = vectors.square().sum(-1)
        near = (squares[:, None] + squares[None] - 2 * vectors @ vectors.T).clamp(min=1e-8).sqrt()
    pairs = (used[:, None] & used[None]).triu(1)
    return (F.relu(margin - near).square() * pairs).sum() / pairs.sum().clamp(min=1)


def discriminator_maps(discriminator: nn.Module, generated: Tensor) -> list[Tensor]:
    """The discriminator's maps of generated frames, with gradients to the frames alone."""
    frozen: Mapping[str, Tensor] = {name: p.detach() for name, p in discriminator.named_parameters()}
    # Running statistics change only when the discriminator itself is trained.
    buffers = {name: b.clone() for name, b in discriminator.named_buffers()}
    return functional_call(discriminator, {**frozen, **buffers}, (generated,))


def generator_hinge(score: Tensor) -> Tensor:
    """-mean(D(generated))."""
    return -score.float().mean()


def discriminator_hinge(real: Tensor, generated: Tensor) -> Tensor:
    """mean(max(0, 1 - D(real)) + max(0, 1 + D(generated))) / 2."""
    return (F.relu(1 - real.float()).mean() + F.relu(1 + generated.float()).mean()) / 2


def feature_matching(generated: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean L1 distance of the discriminator's hidden maps, each by its real map's own size (Wang et al. 2018, eq.
    4)."""
    terms = [
        (a.float() - b.float().detach()).abs().mean() / b.float().detach().abs().mean().clamp(min=1e-6)
        for a, b in zip(generated[:-1], real[:-1], strict=True)
    ]
    return torch.stack(terms).mean()


def adaptive_weight(picture: Tensor, adversarial: Tensor, last: Tensor, most: float = 1.0) -> Tensor:
    """How much of the discriminator's loss balances the picture's: the ratio of their gradients' norms at the decoder's
    last weight, at most `most` (CodeFormer; VQGAN eq. 7)."""
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (picture, adversarial)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0, most).detach()
