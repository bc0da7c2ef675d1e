"""The exponential moving average of the trained weights, in float32, warmed up so that it is useful from the start."""

import copy
from collections.abc import Mapping

import torch
from torch import nn


class EMA:
    """Averaged copies of modules: `modules` has the same names, in evaluation mode, without gradients.

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
