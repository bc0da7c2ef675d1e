"""The losses between two rows of the log, fetched from the device as seldom as can be."""

import math
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor


class Meter:
    """Sums of named values since the last row. `sums` (name -> [sum, count]) is what a state keeps of it."""

    def __init__(self, accelerator: Accelerator, sums: Mapping[str, list[float]] | None = None) -> None:
        self.sums = {name: list(pair) for name, pair in (sums or {}).items()}
        self._accelerator = accelerator
        self._pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Remember a step's scalars without waiting for the device to compute them."""
        self._pending.append((step, dict(values)))

    def settle(self) -> tuple[int, dict[str, float]] | None:
        """Fetch what is pending in one transfer; the first step with a value that is not finite, if any."""
        if not self._pending:
            return None
        fetched = iter(torch.stack([value for _, values in self._pending for value in values.values()]).tolist())
        pending, self._pending = self._pending, []
        for step, values in pending:
            numbers = {name: next(fetched) for name in values}
            if not all(map(math.isfinite, numbers.values())):
                return step, numbers
            for name, number in numbers.items():
                pair = self.sums.setdefault(name, [0.0, 0])
                pair[0] += number
                pair[1] += 1
        return None

    def means(self) -> dict[str, float]:
        """The means since the last call, over all processes (every one must call it); begins a new window."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        if self._accelerator.num_processes == 1:
            return means
        own = torch.tensor(list(means.values()), device=self._accelerator.device)
        return dict(zip(means, self._accelerator.reduce(own, "mean").tolist(), strict=True))
