"""What a recipe is: the networks, the batches and the loss of one training stage, as its paper orders them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Batch = dict[str, Tensor]


class Recipe(Protocol):
    """One training stage; subclass it. The engine knows a recipe by this alone.

    `name` begins the checkpoint's file name. `data` names the data set and tells nothing of where it lies. `config`
    is JSON-able: sizes, presets, loss weights, whatever the result depends on besides TrainConfig. `modules` are the
    networks that are trained (float32); an average of each is kept. Every weight that requires a gradient takes part
    in every loss.
    """

    name: str
    data: str
    config: Mapping[str, Any]
    modules: dict[str, nn.Module]

    def prepare(self, device: torch.device) -> None:
        """Called once before the first step: move frozen networks and constants to the device."""

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """The batch of a step (0-based), on the CPU, with no randomness but `rng`, seeded by run, step and process.

        So the batch is the same whenever and wherever the step is computed; it may be called from another thread and
        ahead of time, and must change nothing that `loss` reads.
        """
        ...

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Scalars by name: "loss" is minimised, all are logged. torch's global generator is seeded for each step."""
        ...

    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8] | None:
        """A picture of how well the averaged networks do, RGB uint8 [H, W, 3], or None."""
        return None

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """Write the averaged networks as a checkpoint (talkface_core.checkpoints.save_checkpoint)."""
        ...
