"""Checkpoints by name: the bundled ones and the files of the host's models/talkface."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path

import folder_paths

from ...talkface_core.checkpoints import CheckpointError, list_checkpoints, read_header
from ...talkface_core.errors import InputError

log = logging.getLogger(__name__)

MODELS = "talkface"


def register_models_folder() -> None:
    """models/talkface, beside what extra_model_paths.yaml may name for it; only .safetensors are listed."""
    own = os.path.join(folder_paths.models_dir, MODELS)
    folder_paths.add_model_folder_path(MODELS, own, is_default=True)
    paths, _ = folder_paths.folder_names_and_paths[MODELS]
    folder_paths.folder_names_and_paths[MODELS] = (paths, {".safetensors"})
    try:
        os.makedirs(own, exist_ok=True)  # to be found by whoever has a file to put there
    except OSError as error:
        log.warning("TalkFace: the folder %s cannot be made (%s)", own, error)


def checkpoint_names(system: str) -> list[str]:
    """The bundled checkpoints of a system, then the files in the models folders that are or may be of it."""
    bundled = [name for name, path in list_checkpoints().items() if _may_be(path, system, default=False)]
    files = {name: folder_paths.get_full_path(MODELS, name) for name in folder_paths.get_filename_list(MODELS)}
    # The host gives no path for a link that leads nowhere.
    return bundled + [name for name, path in files.items() if path and _may_be(path, system, default=True)]


def checkpoint_path(name: str, system: str) -> Path:
    """The file of a listed name; no other path is opened, whatever a workflow says. Raises InputError.

    `system` is that of the names that the error offers instead.
    """
    bundled = list_checkpoints()
    if name in bundled:
        return bundled[name]
    if name in folder_paths.get_filename_list(MODELS) and (path := folder_paths.get_full_path(MODELS, name)):
        return Path(path)
    folder = os.path.join(folder_paths.models_dir, MODELS)
    raise InputError(
        f"checkpoint {name!r} is not there: put it into {folder} and press R in the page, or choose one of "
        f"{', '.join(checkpoint_names(system))}"
    )


def new_checkpoint(name: str) -> Path:
    """Where a checkpoint of this name is written so that the loaders list it: the first of the models folders."""
    folder = Path(folder_paths.get_folder_paths(MODELS)[0])
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.safetensors"


def _may_be(path: str | os.PathLike[str], system: str, default: bool) -> bool:
    try:
        return system in read_header(path).systems
    except (CheckpointError, OSError) as error:
        _tell_once(f"TalkFace: {' '.join(str(error).split())}")
        return default  # a damaged file stays in the list: choosing it tells what is wrong with it


@cache
def _tell_once(line: str) -> None:
    # The page asks for the lists again and again.
    log.warning(line)
