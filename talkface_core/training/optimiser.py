"""What a step does to the weights: clipping of the gradients, the optimiser, and a moving average of the weights."""

import copy
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ..errors import InputError
from .config import TrainConfig


def make_optimiser(weights: list[nn.Parameter], config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    """AdamW or Adam, fused where torch has it; no weight decay on biases and gains."""
    if any(weight.dtype != torch.float32 for weight in weights):
        raise InputError("trained weights must be float32; for bfloat16 arithmetic set precision 'bf16'.")
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimiser]
    groups = (
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    )
    return kind(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        fused=device.type in ("cpu", "cuda"),
    )


def clip_gradients(weights: Iterable[nn.Parameter], limit: float) -> Tensor:
    """The norm of all gradients together, a scalar; where it is above `limit` they are scaled down to it. 0: no limit
    (Pascanu et al. 2013).

    The values are those of torch.nn.utils.clip_grad_norm_, which also multiplies when the factor is 1: on a CPU that
    is a read and a write of all gradients, as costly as the averaging of the weights.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    # The comparison is free on a CPU; elsewhere it would wait for the device.
    if limit and (norm.device.type != "cpu" or norm > limit):
        torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))
    return norm


class EMA:
    """Exponential moving averages of modules: `modules` has the same names, in evaluation mode, without gradients.

    Weights are averaged; buffers (running statistics) are copied. The decay of step t (0-based) is
    min(decay, (1 + t) / (10 + t)): an early average forgets its random start within some ten steps.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float) -> None:
        self.decay = decay
        self.modules = {name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()}
        live = list(modules.values())
        averaged = list(self.modules.values())
        # The parameters themselves, not views of their data: DistributedDataParallel gives them new storage.
        self._live = [p for module in live for p in module.parameters()]
        self._averaged = [p for module in averaged for p in module.parameters()]
        self._live_buffers = [b for module in live for b in module.buffers()]
        self._averaged_buffers = [b for module in averaged for b in module.buffers()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the live weights after a step (0-based)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._live, 1 - decay)
        if self._live_buffers:
            torch._foreach_copy_(self._averaged_buffers, self._live_buffers)
