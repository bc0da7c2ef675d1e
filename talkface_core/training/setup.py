"""The set-up of a run: the device, the optimiser, and the progress of an earlier sitting."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from ..checkpoints import find_checkpoint, read_checkpoint
from ..errors import InputError
from .config import Difference, differences
from .recipe import Recipe
from .state import STATE, read_progress


def make_accelerator(device: str) -> Accelerator:
    """Accelerate for "auto", "cpu" or "cuda". Raises InputError for another name, or CUDA where there is none."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"device {device!r} is unknown; choose auto, cpu or cuda.")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda': torch finds no CUDA GPU here; choose auto or cpu.")
    # Accelerate fixes its precision once for a whole process, two stages may differ: autocast is the loop's own.
    return Accelerator(cpu=device == "cpu", mixed_precision="no")


def load_init(recipe: Recipe, source: str | Path) -> None:
    """Put the weights of a checkpoint, by name or path, into those networks of the recipe whose components it holds.

    A network that has more channels than the checkpoint's begins as that one: see `grown`. Raises InputError where it
    holds none of them, CheckpointError where one is larger, otherwise built, or not finite.
    """
    checkpoint = read_checkpoint(find_checkpoint(source))
    components = [name for name in recipe.modules if name in checkpoint.states]
    if not components:
        raise InputError(
            f"{checkpoint.path}: holds {', '.join(checkpoint.states)} of {checkpoint.system}, and {recipe.name} trains "
            f"{', '.join(recipe.modules)}; begin with a checkpoint that holds one of those."
        )
    for name in components:
        own = recipe.modules[name].state_dict()
        stored = checkpoint.states[name]
        begun = {key: grown(weight, own[key]) if key in own else weight for key, weight in stored.items()}
        shapes = {key: tuple(weight.shape) for key, weight in begun.items()}
        replace(checkpoint, states={name: begun}, shapes={name: shapes}).load_into(recipe.modules[name], name)


def grown(weight: Tensor, own: Tensor) -> Tensor:
    """A weight [out,in,...] with the channels of `own`, which are as many or more; any other is given back as it is.

    The further inputs count nothing at first and the further outputs begin as `own` does, so that a network goes on
    from what the smaller one could (Net2Net, Chen et al., ICLR 2016).
    """
    if weight.shape == own.shape or weight.ndim != own.ndim:
        return weight
    if any(few > many for few, many in zip(weight.shape, own.shape, strict=True)):
        return weight
    out = own.clone()
    out[: len(weight)] = 0
    out[tuple(map(slice, weight.shape))] = weight
    return out


def former_progress(
    run_dir: Path, recipe: type[Recipe], settings: Mapping[str, Any], resume: bool, allow_changes: bool
) -> dict[str, Any] | None:
    """The progress to go on from, None for a new run. Raises InputError where the folder is not what `resume` says."""
    progress = read_progress(run_dir)
    if progress is None:
        if resume:
            raise InputError(f"{run_dir}: holds no {STATE} to resume from; leave out --resume or give its --out.")
        return None
    if not resume:
        raise InputError(
            f"{run_dir}: holds a run, at step {progress['step']}; give --resume to go on with it, or another --out."
        )
    changed = differences(progress["settings"], settings)
    if changed:
        told = "; ".join(_told(changed, recipe))
        if not allow_changes:
            raise InputError(f"{run_dir}: its run has other settings: {told}. Give the run's own, or --allow-changes.")
        tqdm.write(f"changed since the last sitting: {told}", file=sys.stderr)
    return progress


_FLAGS = {
    "data": "--data",
    "config.init": "--init",
    "train.lr": "--lr",
    "train.precision": "--precision",
    "train.seed": "--seed",
    "processes": "accelerate launch --num_processes",
}

_MOST = 4


def _shown(value: object) -> str:
    """A setting as a message has it: of a network that is there or not, its many sizes tell nothing."""
    if isinstance(value, Mapping):
        return "given"
    return "not given" if value is None else repr(value)


def _told(changed: Sequence[Difference], recipe: type[Recipe]) -> list[str]:
    """Differences with both values, first those that a flag makes, by the flag; of a preset's many settings a few."""
    own = argparse.ArgumentParser(add_help=False)
    recipe.add_arguments(own)
    flags = {action.dest: action.option_strings[0] for action in own._actions if action.option_strings}
    by_flag: dict[str, str] = {}
    others = []
    for setting, *values in changed:
        was, now = map(_shown, values)
        if setting == "recipe":  # all else differs with it, and tells nothing
            return [f"recipe was {was} and is {now}"]
        # A flag that names a model has many settings beneath it, and tells enough once.
        flag = _FLAGS.get(setting) or next((flags[part] for part in setting.split(".")[::-1] if part in flags), None)
        if flag is None:
            others.append(f"{setting} was {was} and is {now}")
        else:
            by_flag.setdefault(flag, f"{flag} was {was} and is {now}")
    shared = " or ".join(flags[name] for name in ("preset", "batch_size") if name in flags)
    if others and shared:
        others[0] += f" (by {shared}?)"
    if len(others) > _MOST:
        others[_MOST:] = [f"and {len(others) - _MOST} more"]
    return [*by_flag.values(), *others]
