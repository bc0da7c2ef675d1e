"""Training settings: everything the weights depend on besides the recipe, kept in the run as JSON."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import InputError


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser, learning rate, averaging, precision and seed of a run.

    `warmup` steps raise the rate linearly to `lr`; then it stays ("constant") or falls as a half cosine to `final_lr`
    times `lr` at the last step ("cosine"). `weight_decay` acts on matrices and kernels, not on biases and gains.
    `grad_clip` bounds the gradient's norm, 0 for none. `accumulation` batches make one step. "bf16" computes under
    autocast, "auto" does so where the device has units for it; the weights stay float32.
    """

    lr: float = 1e-4
    schedule: str = "constant"
    warmup: int = 0
    final_lr: float = 0.0
    optimiser: str = "adamw"
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    ema_decay: float = 0.9999
    grad_clip: float = 1.0
    precision: str = "fp32"
    accumulation: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "schedule": ("constant", "cosine"),
            "optimiser": ("adamw", "adam"),
            "precision": ("fp32", "bf16", "auto"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown; choose one of {', '.join(known)}.")
        limits = {"lr": (0, math.inf), "warmup": (0, math.inf), "final_lr": (0, 1), "weight_decay": (0, math.inf)}
        limits |= {"beta1": (0, 1), "beta2": (0, 1), "eps": (0, math.inf), "ema_decay": (0, 1)}
        limits |= {"grad_clip": (0, math.inf), "accumulation": (1, math.inf), "seed": (0, math.inf)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; it lies between {low} and {high}.")

    def lr_at(self, step: int, steps: int) -> float:
        """The learning rate of a step (0-based) in a run of `steps`."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.schedule == "constant":
            return self.lr
        done = min((step - self.warmup) / max(steps - self.warmup, 1), 1.0)
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * done)))


class Difference(NamedTuple):
    """A setting by its path in the settings ("train.lr"), and both values; None where one has none."""

    setting: str
    before: Any
    after: Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> list[Difference]:
    """Each setting whose value differs, in the order of their names."""
    changes = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes += differences(before, after, f"{within}{name}.")
        elif before != after:
            changes.append(Difference(within + name, before, after))
    return changes
