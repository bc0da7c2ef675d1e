"""From a run to a checkpoint: the averaged networks and how they were made."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import InputError
from .optimiser import EMA
from .recipe import Recipe
from .state import STATE, load_state, read_progress


def export(recipe: Recipe, run_dir: str | Path) -> Path:
    """Write the checkpoint of a run's last state, say of one that was killed or still goes on, and return its path.

    `recipe` is the one that is trained; its networks take the state's weights. Raises InputError for a folder without
    a state or the state of other networks.
    """
    run_dir = Path(run_dir)
    progress = read_progress(run_dir)
    if progress is None:
        raise InputError(f"{run_dir}: holds no {STATE}; give the folder of a training run.")
    ema = EMA(recipe.modules, 0)
    load_state(run_dir, recipe.modules, ema, None)
    return write_checkpoint(recipe, run_dir, ema, progress)


def checkpoint_path(recipe: Recipe, run_dir: Path) -> Path:
    """Where a run's checkpoint lies."""
    return run_dir / f"{recipe.name}.safetensors"


def write_checkpoint(recipe: Recipe, run_dir: Path, ema: EMA, progress: Mapping[str, Any]) -> Path:
    """Let the recipe save its averaged networks; `progress` holds `step`, `seconds` and the run's `settings`."""
    settings = progress["settings"]
    provenance = {
        "recipe": settings["recipe"],
        "data": settings["data"],
        "steps": progress["step"],
        "seconds": round(progress["seconds"], 1),
        "seed": settings["train"]["seed"],
        "config": {"recipe": settings["config"], "train": settings["train"], "processes": settings["processes"]},
        "versions": versions(),
    }
    path = checkpoint_path(recipe, run_dir)
    recipe.save(path, ema.modules, provenance)
    return path


def versions() -> dict[str, str]:
    """The versions of what computed the weights."""
    installed = {"talkface": __version__}
    for package in ("torch", "accelerate", "numpy", "safetensors"):
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "unknown"
    return installed
