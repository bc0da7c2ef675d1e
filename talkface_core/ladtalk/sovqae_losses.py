"""The SOVQAE's own loss: the repulsion of the codebook's vectors.

It is the regulariser that makes the codebook "space-optimised": LaDTalk tells that it enlarges the bound on noise (v1
to v3), not its formula; here it is a hinge repulsion.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def codebook_repulsion(vectors: Tensor, used: Tensor, margin: float) -> Tensor:
    """Hinge repulsion: mean over pairs of used codes of max(0, margin - ||c_i - c_j||)^2. vectors [N, D], used [N]."""
    # Distances from inner products: a matrix of pairs instead of a tensor of differences.
    with torch.autocast(vectors.device.type, enabled=False):
        squares = vectors.square().sum(-1)
        near = (squares[:, None] + squares[None] - 2 * vectors @ vectors.T).clamp(min=1e-8).sqrt()
    pairs = (used[:, None] & used[None]).triu(1)
    return (F.relu(margin - near).square() * pairs).sum() / pairs.sum().clamp(min=1)
