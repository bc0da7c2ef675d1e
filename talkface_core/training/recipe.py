"""The recipe interface: the networks, the batches and the loss of one training stage, as its paper orders them."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .config import TrainConfig

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """A recipe over its data, with the settings and the number of steps that it was made for."""

    recipe: Recipe
    config: TrainConfig
    steps: int


class Recipe(ABC):
    """One training stage; the engine and the command line know it by this alone.

    `name` is its word on the command line and begins the checkpoint's file name. `data` names the data set and tells
    nothing of where it lies. `config` is JSON-able: sizes, presets, loss weights, whatever the result depends on
    besides TrainConfig. `modules` are the networks that are trained (float32), by the names of the checkpoint's
    components where they are saved; an average of each is kept. Every weight that requires a gradient takes part in
    every loss.

    In a distributed run `batch` and `loss` are called by every process, `sample` and `save` by the first alone: the
    networks are in evaluation mode then, and nothing may wait for other processes.
    """

    name: str
    data: str
    config: Mapping[str, Any]
    modules: dict[str, nn.Module]

    @classmethod  # noqa: B027 (a recipe may have none)
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Declare the flags that this recipe alone has; `arguments.py` holds those that several share."""

    @classmethod
    @abstractmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        """The recipe that parsed arguments ask for, over the data they name, and how long and how it trains.

        Besides the recipe's own flags there are `data` (str), `cache` (Path: a folder for what is decoded), `init` (a
        checkpoint's name or path, or None: the engine loads it), `device`, `seed` and `quiet`. torch's generator is
        seeded. Raises InputError.
        """

    def prepare(self, device: torch.device) -> None:  # noqa: B027 (not every recipe has more than its modules)
        """Called once before the first step: move frozen networks and constants to the device."""

    @abstractmethod
    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """The batch of a step (0-based), on the CPU, with no randomness but `rng`, seeded by run, step and process.

        So the batch is the same whenever and wherever the step is computed; it may be called from several threads at
        once and ahead of time, and must change nothing that `loss` or another call of it reads.
        """

    @abstractmethod
    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Scalars by name: "loss" is minimised, all are logged. torch's global generator is seeded for each step.

        An ordinary step looks at no tensor's values on the host: it would wait for the device.
        """

    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8] | None:
        """A picture of how well the averaged networks do, RGB uint8 [H, W, 3], or None."""
        return None

    @abstractmethod
    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """Write the averaged networks as a checkpoint (talkface_core.checkpoints.save_checkpoint)."""
