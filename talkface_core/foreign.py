"""Torch files of other programs, for the converters: tensors and plain values come out, nothing is run.

This is the one place that opens a pickled container. An object of another program is refused, never made.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NoReturn

import torch
from torch import Tensor

from .errors import InputError


class _Inert:
    """Stands for a class of another program that files name; holds what a file says of it, and does nothing."""

    def __init__(self, *said: Any) -> None:
        self.said = said


def _inert(module: str, name: str) -> type:
    return type(name, (_Inert,), {"__module__": module, "__qualname__": name})


_STAND_INS: list[Any] = [
    _inert("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),  # old Lightning files states by it
    _inert("argparse", "Namespace"),  # a program's arguments; `vars` tells them
    *(_inert(module, name) for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")),
]


def load_foreign(path: Path, expected: str) -> dict[str, Any]:
    """The mapping that a torch file holds: what stands under texts.

    `expected` names the files that are looked for. Raises InputError for a missing, damaged or foreign file, for a
    program, and for whatever is no mapping.
    """
    if not path.is_file():
        refuse(path, "a folder" if path.is_dir() else "no such file", expected)
    packed = _check_archive(path, expected)
    try:
        with torch.serialization.safe_globals(_STAND_INS), warnings.catch_warnings():
            # What torch thinks of a file goes into the one line that is raised, or nobody needs it.
            warnings.simplefilter("ignore")
            container = torch.load(path, map_location="cpu", weights_only=True, mmap=packed or None)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)|(blocked)", str(error))
        if foreign is None:
            refuse(path, "no readable torch file (is it whole?)", expected, error)
        what = f"an object of another program ({foreign[1] or 'blocked by torch'}), which is never unpickled"
        refuse(path, what, f"{expected}, of tensors and plain values only", error)
    except Exception as error:  # the bytes of a foreign file can raise anything
        refuse(path, f"no readable torch file ({type(error).__name__}; is it whole?)", expected, error)
    if not isinstance(container, Mapping):
        refuse(path, f"a torch file of one {type(container).__name__}", expected)
    return {key: value for key, value in container.items() if isinstance(key, str)}


def tensors_of(path: Path, values: Any, expected: str) -> dict[str, Tensor]:
    """The tensors among the values of a mapping. Raises InputError for other than plain real numbers in memory."""
    if not isinstance(values, Mapping):
        refuse(path, f"weights of type {type(values).__name__}", expected)
    tensors = {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, Tensor)}
    for key, value in tensors.items():
        plain = value.layout is torch.strided and not value.is_quantized and not value.is_complex()
        if not plain or value.is_meta or type(value) not in (Tensor, torch.nn.Parameter):
            refuse(path, f"weights {key[:80]!r} that are sparse, quantised or no real numbers", expected)
    return tensors


def module_state(path: Path, expected: str) -> dict[str, Tensor]:
    """The tensors of a torch file by name, of a `state_dict` inside it where there is one, without DataParallel's
    prefix. Raises InputError."""
    container = load_foreign(path, expected)
    tensors = tensors_of(path, container.get("state_dict", container), expected)
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def renamed_state(
    path: Path,
    state: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    rename: Callable[[str], str | None],
    expected: str,
    left_out: re.Pattern[str] | None = None,
) -> dict[str, Tensor]:
    """A published state under our names, complete and of the shapes of `wanted`, in its types.

    `rename` gives our name of a key, or None; keys that `left_out` matches are not needed. Raises InputError.
    """
    renamed, unknown = {}, []
    for key, tensor in state.items():
        name = rename(key)
        if name in wanted:
            renamed[name] = tensor
        elif left_out is None or not left_out.match(key):
            unknown.append(key)
    if unknown:
        refuse(path, f"weights that the published network does not have: {some(unknown)}", expected)
    if missing := wanted.keys() - renamed.keys():
        refuse(path, f"no weights for {some(missing)}", expected)
    for key, tensor in wanted.items():
        if tensor.shape != renamed[key].shape:
            refuse(path, f"{key} of shape {list(renamed[key].shape)}, not {list(tensor.shape)}", expected)
    return {key: renamed[key].to(tensor.dtype) for key, tensor in wanted.items()}


def refuse(path: Path, actual: str, expected: str, cause: Exception | None = None) -> NoReturn:
    """Raise the InputError that says so."""
    raise InputError(f"{path}: found {actual}; expected {expected}.") from cause


def some(names: Iterable[str], most: int = 3) -> str:
    """A few of the names, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(repr(name[:80]) for name in ordered[:most]) + more if ordered else "none"


def _check_archive(path: Path, expected: str) -> bool:
    """Whether the file is an archive, as newer torch writes them; refuses one that holds a program or is packed."""
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # as above
        refuse(path, f"a damaged archive ({type(error).__name__}; is it whole?)", expected, error)
    if any(entry.filename.endswith("constants.pkl") or "/code/" in entry.filename for entry in entries):
        refuse(path, "a TorchScript program, which holds code and is never run", expected)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        refuse(path, "a compressed archive, which torch does not write", expected)
    return True
