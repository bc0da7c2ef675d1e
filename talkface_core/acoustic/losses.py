"""Losses over frames of which some do not count, for nets that hear."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..datasets.labels import IGNORE


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values [B, T, ...] over the frames by their weight, mask [B, T]; 0 where it is on nowhere."""
    per_frame = values.flatten(2).mean(2) if values.ndim > 2 else values
    return (per_frame * mask).sum() / mask.sum().clamp_min(1.0)


def viseme_loss(logits: Tensor, visemes: Tensor) -> Tensor:
    """Cross-entropy of logits [B, T, V] with visemes int64 [B, T]; 0 where all are `IGNORE`."""
    wanted = visemes.flatten()
    total = F.cross_entropy(logits.float().flatten(0, 1), wanted, ignore_index=IGNORE, reduction="sum")
    return total / (wanted != IGNORE).sum().clamp_min(1)
