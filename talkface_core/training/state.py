"""A run's state: weights, averages and the optimiser's moments in one safetensors file, written whole or not at all.

Progress and settings are JSON in its metadata, so a state is never half old and half new.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import InputError
from ..plain_json import parse_object
from ..tensor_file import write_tensors
from .optimiser import EMA

STATE = "state.safetensors"
FORMAT = "talkface-training-state-1"
_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What Adam keeps of each weight."""


def save_state(
    run_dir: Path,
    modules: Mapping[str, nn.Module],
    ema: EMA,
    optimiser: torch.optim.Optimizer,
    progress: Mapping[str, Any],
) -> None:
    """Replace the run's state; the former one stands until the new one is whole and on the disk."""
    tensors = dict(_named(modules, ema))
    for name, weight in trained(modules).items():
        for key, value in optimiser.state.get(weight, {}).items():
            tensors[f"optimiser/{name}/{key}"] = value
    # Copies: the format allows neither aliases nor other memory layouts than the plain one.
    plain = {name: torch.empty(t.shape, dtype=t.dtype).copy_(t.detach()) for name, t in tensors.items()}
    write_tensors(run_dir / STATE, plain, {"format": FORMAT, "progress": json.dumps(progress)})


def read_progress(run_dir: str | Path) -> dict[str, Any] | None:
    """What the run's state says of itself (`step`, `seconds`, `settings` …); None for a folder without a state.

    Raises InputError for a damaged state.
    """
    path = Path(run_dir) / STATE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise InputError(f"{path}: its format is {metadata.get('format')!r}, not {FORMAT!r}; begin a new run.")
        progress = parse_object(metadata["progress"])
        step, seconds, sums, settings = (progress[name] for name in ("step", "seconds", "sums", "settings"))
        counts, values = [n for _, n in sums.values()], [seconds, *(value for value, _ in sums.values())]
        whole = all(type(count) is int and 0 < count < 2**53 for count in (step + 1, *counts))
        numbers = all(type(value) in (int, float) and abs(value) < 1e300 for value in values)
        if not whole or not numbers or not isinstance(settings, dict):
            raise ValueError("its progress is none")
        return progress
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: a damaged state ({str(error)[:200]}); begin a new run.") from error


def load_state(
    run_dir: Path, modules: Mapping[str, nn.Module], ema: EMA, optimiser: torch.optim.Optimizer | None
) -> None:
    """Put the run's state into the networks, their averages and the optimiser. Raises InputError if it does not fit."""
    path = run_dir / STATE
    try:
        _load(path, modules, ema, optimiser)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: a damaged state ({str(error)[:200]}); begin a new run.") from error


def _load(path: Path, modules: Mapping[str, nn.Module], ema: EMA, optimiser: torch.optim.Optimizer | None) -> None:
    targets = dict(_named(modules, ema))
    with safe_open(path, framework="pt") as file, torch.no_grad():
        names = {name for name in file.keys() if not name.startswith("optimiser/")}  # noqa: SIM118 (not a mapping)
        odd = sorted(names ^ targets.keys())
        odd = odd or sorted(name for name in names if file.get_slice(name).get_shape() != list(targets[name].shape))
        if odd:
            raise InputError(
                f"{path}: the state of another network ({odd[0]} does not fit); resume with the run's own preset and "
                "flags, or begin another with --init."
            )
        for name in names:
            targets[name].copy_(file.get_tensor(name))
        if optimiser is None:
            return
        weights = trained(modules)
        for name in file.keys():  # noqa: SIM118
            if name.startswith("optimiser/"):
                owner, _, key = name.removeprefix("optimiser/").rpartition("/")
                weight, value = weights[owner], file.get_tensor(name)
                if value.shape != (torch.Size() if key == "step" else weight.shape) or key not in _MOMENTS:
                    raise ValueError(f"{name[:80]} of shape {list(value.shape)}")
                # A moment lies in memory as its weight does: fused optimisers walk both in storage order.
                like = torch.empty_like(weight) if value.shape == weight.shape else torch.empty_like(value)
                optimiser.state[weight][key] = like.to(_home(optimiser, weight, key)).copy_(value)
        if any(held.keys() != _MOMENTS for held in optimiser.state.values() if held):
            raise ValueError("the optimiser's moments are not all there")


def trained(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """The weights that require a gradient, as "module/weight"; one that two modules share appears once."""
    parameters: dict[str, nn.Parameter] = {}
    visited: set[int] = set()
    for name, module in modules.items():
        for key, weight in module.named_parameters():
            if weight.requires_grad and id(weight) not in visited:
                visited.add(id(weight))
                parameters[f"{name}/{key}"] = weight
    return parameters


def _named(modules: Mapping[str, nn.Module], ema: EMA) -> list[tuple[str, Tensor]]:
    kinds = (("live", modules), ("ema", ema.modules))
    return [
        (f"{kind}/{name}/{key}", tensor)
        for kind, group in kinds
        for name, module in group.items()
        for key, tensor in module.state_dict().items()
    ]


def _home(optimiser: torch.optim.Optimizer, weight: Tensor, key: str) -> torch.device:
    fused = optimiser.defaults.get("fused")
    return weight.device if fused or key != "step" else torch.device("cpu")
