"""Gradient norm and clipping (Pascanu et al. 2013), sparing memory traffic where nothing needs to be clipped."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def clip_gradients(weights: Iterable[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients together, a scalar; where it is above `limit` they are scaled down to it. 0: no limit.

    The values are those of torch.nn.utils.clip_grad_norm_, which also multiplies when the factor is 1: on a CPU that
    is a read and a write of all gradients, as costly as the averaging of the weights.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    # Asking costs nothing on a CPU; elsewhere it would wait for the device.
    if limit and (norm.device.type != "cpu" or norm > limit):
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm
