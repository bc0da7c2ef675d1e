"""A linear recipe whose runs on one and two processes must agree: `python -m tests.training.linear RUN`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.training.batches import step_seed
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from talkface_core.training.recipe import Batch, Plan, Recipe

CONFIG = TrainConfig(lr=1e-2, seed=3)


class Linear(Recipe):
    """Least squares. `processes`: a batch holds what so many processes would draw for the step, if more than one."""

    name, data = "linear", "noise"

    def __init__(self, processes: int = 1) -> None:
        torch.manual_seed(0)
        self.modules = {"net": nn.Linear(4, 2)}
        self.config = {}
        self.processes = processes

    @classmethod
    def from_args(cls, args: Any) -> Plan:
        return Plan(cls(), CONFIG, 15)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        if self.processes == 1:
            return {"x": draw(rng)}
        seeds = (step_seed(CONFIG.seed, step, process, 0) for process in range(self.processes))
        return {"x": torch.cat([draw(np.random.Generator(np.random.PCG64(seed))) for seed in seeds])}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        x = batch["x"]
        return {"loss": (self.modules["net"](x) - x[:, :2]).square().mean()}

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Any) -> None:
        save_checkpoint(path, "linear", ema_modules, {"net": {}}, provenance)


def draw(rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.standard_normal((8, 4), dtype=np.float32))


def run(run_dir: str | Path, recipe: Linear) -> None:
    train(recipe, run_dir, 15, CONFIG, log_every=5, device="cpu", quiet=True)


if __name__ == "__main__":
    run(sys.argv[1], Linear())
