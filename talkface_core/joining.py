"""Joins trained stages into one checkpoint: components of several files, each with what its file says of itself.

States are copied as they were read, without building a network, so that files of any system can be joined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoints import JOINED, Checkpoint, CheckpointError, read_checkpoint, save_checkpoint


@dataclass
class Joint:
    """A checkpoint in the making: weights and settings by component, and what the file will say of itself."""

    system: str
    states: dict[str, dict[str, Tensor]]
    configs: dict[str, dict[str, Any]]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, path: str | Path) -> Joint:
        """All of a checkpoint, to be added to. Raises CheckpointError."""
        read = read_checkpoint(path)
        return cls(read.system, dict(read.states), dict(read.configs), dict(read.provenance))

    def add(self, source: Checkpoint, component: str) -> None:
        """A component of another file, in place of an own one of its name. Raises CheckpointError where it has none."""
        if component not in source.states:
            raise CheckpointError(f"{source.path}: holds no {component!r}, only {', '.join(source.states)}.")
        self.states[component], self.configs[component] = source.states[component], source.configs[component]
        # What a file says of this component, or else of itself, not of all that it was once joined with.
        alone = {key: value for key, value in source.provenance.items() if key != "added"}
        added = dict(self.provenance.get("added", {}))
        added[component] = source.provenance.get("added", {}).get(component, alone)
        self.provenance["added"] = added

    def also(self, system: str) -> None:
        """From now on the file is this system too."""
        self.system = JOINED.join(dict.fromkeys([*self.system.split(JOINED), system]))

    def mean_with(self, other: Checkpoint) -> None:
        """The mean of two runs' weights that began with the same ones (Wortsman et al. 2022, model soups)."""
        for name in self.states.keys() & other.states.keys():
            self.states[name] = averaged(self.states[name], other.states[name])
        self.provenance["mean with"] = other.provenance

    def set(self, name: str, value: Any) -> None:
        """A setting that is not trained, by its path: "component.key" or deeper."""
        component, *keys, last = name.split(".")
        place = self.configs[component] = json.loads(json.dumps(self.configs[component]))
        for key in keys:
            place = place[key]
        place[last] = value
        self.provenance.setdefault("set", {})[name] = value

    def drop(self, component: str, prefix: str = "") -> None:
        """Leave out the weights of a component whose names begin so, for which what infers has no use; without a prefix
        the whole component. Raises CheckpointError where there is no such component."""
        if component not in self.states:
            raise CheckpointError(f"there is no {component!r} to leave out, only {', '.join(self.states)}.")
        if not prefix:
            del self.states[component], self.configs[component]
            added = {name: said for name, said in self.provenance.get("added", {}).items() if name != component}
            self.provenance["added"] = added
            return
        kept = {key: value for key, value in self.states[component].items() if not key.startswith(prefix)}
        self.states[component] = kept

    def save(self, path: str | Path, dtype: torch.dtype | None = torch.float16, eight_bits: Sequence[str] = ()) -> None:
        """Write it, whole or not at all; `dtype` is what floating point weights are stored as, None: each its own;
        `eight_bits`: which of them in 8 bits, see `save_checkpoint`."""
        components = {name: _Stored(state) for name, state in self.states.items()}
        save_checkpoint(path, self.system, components, self.configs, self.provenance, dtype, eight_bits)


def averaged(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mean of two states with the same keys; what is no floating point number stays the first one's."""
    return {
        key: value.lerp(other[key].to(value), 0.5) if value.is_floating_point() else value for key, value in one.items()
    }


class _Stored(nn.Module):
    """A component as it was read."""

    def __init__(self, states: dict[str, Tensor]) -> None:
        super().__init__()
        self._states = states

    def state_dict(self) -> dict[str, Tensor]:  # type: ignore[override]  # it has none of a module's options
        return self._states
