"""How far painted faces are from real ones: the mouth counts more, and contrasts count beside colours (ours).

What a small training set needs besides a plain L1, whatever system paints.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .landmarks import MOUTH


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
