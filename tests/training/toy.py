"""A recipe of a few weights for the engine's tests, also as a program: `python -m tests.training.toy RUN STEPS`.

The network has what makes resuming hard: dropout, running statistics, a channels-last kernel, noise in the loss.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkface_core import tensor_file
from talkface_core.checkpoints import save_checkpoint
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from talkface_core.training.recipe import Batch, Plan, Recipe

CONFIG = TrainConfig(lr=1e-2, schedule="cosine", warmup=3, weight_decay=0.1, ema_decay=0.9, seed=5)

OPTIONS = {"save_every": 4, "log_every": 2, "sample_every": 6, "device": "cpu", "quiet": True}


class Toy(Recipe):
    """Learn to blur 8 x 8 pictures. `events`: step -> what happens in that step's loss."""

    name, data = "toy", "noise"

    def __init__(self, **events: Any) -> None:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.1), nn.Conv2d(4, 3, 1))
        self.modules = {"net": net.to(memory_format=torch.channels_last), "gain": nn.Linear(1, 1)}
        self.config = {"width": 4, "sizes": (8, 8)}
        self.events = events
        self.dtypes: list[str] = []

    @classmethod
    def from_args(cls, args: Any) -> Plan:
        return Plan(cls(), CONFIG, 12)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        return {"x": torch.from_numpy(rng.standard_normal((4, 3, 8, 8), dtype=np.float32))}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        x = batch["x"].to(memory_format=torch.channels_last)
        hidden = self.modules["net"](x + 0.1 * torch.randn_like(x))
        self.dtypes.append(str(hidden.dtype))
        y = self.modules["gain"](hidden.float().mean((1, 2, 3))[:, None])
        wanted = nn.functional.avg_pool2d(x, 3, 1, 1)
        pixel = (hidden.float() - wanted).square().mean()
        losses = {"loss": pixel + y.square().mean(), "pixel": pixel}
        event = self.events.get(f"at{step}")
        if isinstance(event, signal.Signals):
            os.kill(os.getpid(), event)
        elif isinstance(event, Exception):
            raise event
        elif event == "gradient":  # finite, but its derivative at 0 is not
            losses["loss"] = losses["loss"] + (self.modules["gain"].weight * 0).sum().sqrt()
        elif event is not None:
            losses["loss"] = losses["loss"] * event
        return losses

    def sample(self, modules: dict[str, nn.Module]) -> np.ndarray:
        assert not any(module.training for module in modules.values())
        return np.full((6, 7, 3), (250, 100, 0), np.uint8)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Any) -> None:
        save_checkpoint(path, "toy", ema_modules, {name: {} for name in ema_modules}, provenance)


def kill_at_save(step: int) -> None:
    """Die as by `kill -9` half way through writing the state of that step."""
    write = tensor_file.save_file

    def half(tensors: Any, path: Path, metadata: dict[str, str]) -> None:
        write(tensors, path, metadata)
        if f'"step": {step},' in metadata.get("progress", ""):
            path.write_bytes(path.read_bytes()[:-100])
            os.kill(os.getpid(), signal.SIGKILL)

    tensor_file.save_file = half


def go(run: Path, recipe: Toy | None = None, steps: int = 12, config: TrainConfig = CONFIG, **options: Any) -> Any:
    """A run of a dozen steps in a folder, by `OPTIONS` but for those that are given."""
    return train(recipe or Toy(), run, steps, config, **{**OPTIONS, **options})


if __name__ == "__main__":
    if len(sys.argv) > 3:
        kill_at_save(int(sys.argv[3]))
    train(Toy(), sys.argv[1], int(sys.argv[2]), CONFIG, save_every=4, log_every=2, device="cpu", quiet=True)
