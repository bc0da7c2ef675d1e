"""A perceptual loss that needs no trained weights: contrasts of a Laplacian pyramid, as strong as the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ..bands import sharpest

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
