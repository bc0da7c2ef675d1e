"""The losses of the SOVQAE: texture, the discriminator's terms, and the repulsion of the codebook's vectors.

L1 and the hinge of the patch discriminator with its adaptive weight are VQGAN's (Esser et al. 2021, eqs. 4 to 7;
hinge: Lim & Ye 2017), as CodeFormer's first stage uses them. Its perceptual loss, LPIPS, needs a trained VGG; without
those weights `TextureLoss` takes its place. `codebook_repulsion` is the regulariser that makes the codebook
"space-optimised": LaDTalk tells that it enlarges the bound on noise (v1 to v3), not its formula; here it is a hinge
repulsion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from .bands import sharpest

Perceptual = Callable[[Tensor, Tensor], Tensor]
"""A distance of two batches of frames [B, 3, H, W] in -1..1, generated and real: a scalar."""


@dataclass(frozen=True)
class TextureLoss:
    """A perceptual distance that needs no trained weights, from statistics that sight is known to go by.

    Over the `bands` of a Laplacian pyramid (Burt & Adelson 1983), the finer the band the heavier (Bojanowski et al.
    2018): the L1 distance, and `energy` times that of the local contrast (root mean square in windows), which asks for
    as much texture at each place whatever its phase (Portilla & Simoncelli 2000). `finest` times the contrast of what
    lies around Nyquist, which the finest band's coarser half would drown, in windows and in the whole picture. To
    these, `structure` times 1 - SSIM (Wang et al. 2004). All windows are even, 8 x 8 px, and overlap by half: cheap,
    also on a CPU.
    """

    bands: int = 3
    energy: float = 1.0
    finest: float = 16.0
    structure: float = 0.1

    def __call__(self, generated: Tensor, real: Tensor) -> Tensor:
        total = (
            self.structure * (1 - structural_similarity(generated, real)) if self.structure else generated.new_zeros(())
        )
        pyramids = (laplacian_pyramid(frames, self.bands) for frames in (generated, real))
        for n, (a, b) in enumerate(zip(*pyramids, strict=True)):
            total = total + 2.0**-n * ((a - b).abs().mean() + self.energy * (contrast(a) - contrast(b)).abs().mean())
        if self.finest:
            a, b = sharpest(generated), sharpest(real)
            # Windows alone would fit the median and miss strong edges, which are rare: the whole picture's power as
            # well.
            for side in (8, max(a.shape[-2:])):
                total = total + self.finest * (contrast(a, side) - contrast(b, side)).abs().mean()
        return total


def laplacian_pyramid(frames: Tensor, bands: int) -> list[Tensor]:
    """The `bands` finest bands of [B, C, H, W], the first of full size, each next one of half."""
    levels, low = [], frames
    for _ in range(bands):
        smooth = F.avg_pool2d(low, 2)
        up = F.interpolate(smooth, size=low.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(low - up)
        low = smooth
    return levels


def contrast(band: Tensor, side: int = 8) -> Tensor:
    """Root mean square of a band [B, C, H, W] in windows [B, C, h, w]; 1e-3 for none at all, where it is smooth."""
    return (windows(band.square(), side) + 1e-6).sqrt()


def structural_similarity(generated: Tensor, real: Tensor) -> Tensor:
    """Mean SSIM of [B, C, H, W] in -1..1 over windows (Wang et al. 2004, eq. 13), a scalar at most 1."""
    mu_a, mu_b = windows(generated), windows(real)
    var_a, var_b = windows(generated.square()) - mu_a.square(), windows(real.square()) - mu_b.square()
    both = windows(generated * real) - mu_a * mu_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    similar = (2 * mu_a * mu_b + c1) * (2 * both + c2) / ((mu_a.square() + mu_b.square() + c1) * (var_a + var_b + c2))
    return similar.mean()


def windows(values: Tensor, side: int = 8) -> Tensor:
    """Means of [B, C, H, W] over windows of `side` px, or of the picture where that is smaller, at every half side."""
    height, width = (min(side, n) for n in values.shape[-2:])
    return F.avg_pool2d(values, (height, width), (max(height // 2, 1), max(width // 2, 1)))


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
