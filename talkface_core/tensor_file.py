"""safetensors files as strangers may send them: their header is checked before the library reads it.

Reading never unpickles; a file that is something else is refused by one line that says what it is.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .atomic import whole_file
from .errors import InputError
from .plain_json import parse_object

EXPECTED = "a TalkFace checkpoint (.safetensors)"
_MAX_HEADER = 2**24  # bytes; those of the pack have a hundredth
_MAX_TENSORS = 20_000
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
_PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle", ".tar", ".zip"}
_PICKLE_MAGIC = (b"PK\x03\x04", *(bytes([0x80, protocol]) for protocol in range(1, 6)))


class CheckpointError(InputError):
    """A file that is not the checkpoint asked for: names the file, what was found and what was expected."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all. Raises OSError, that names it, for a full disk say."""
    try:
        with whole_file(path) as part:
            save_file(dict(tensors), part, dict(metadata))
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error}); what was there before is as it was") from error


@contextmanager
def opened(path: Path, expected: str = EXPECTED) -> Iterator[Any]:
    """The file as the format's own reader opens it, which checks the header's every entry."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise CheckpointError(f"{path}: found a damaged file ({error}); expected {expected}.") from error


def read_shapes(path: Path, expected: str = EXPECTED) -> dict[str, tuple[int, ...]]:
    """The shapes in a safetensors file, after checks that tell a user what a file that is none of them is."""
    if not path.is_file():
        refuse(path, "a folder" if path.is_dir() else "no such file", expected)
    size = path.stat().st_size
    if size == 0:
        refuse(path, "an empty file (0 bytes)", expected)
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        opening = file.read(1)
        plausible = opening in (b"{", b"") and 2 <= length <= _MAX_HEADER
        # A header of 640 bytes begins like a pickle: the magic counts only where no header can follow.
        if path.suffix.lower() in _PICKLE_SUFFIXES or (start.startswith(_PICKLE_MAGIC) and not plausible):
            refuse(path, "a pickled file, which may run code and is never loaded", expected)
        if not plausible:
            refuse(path, f"a file of {size} bytes that is no safetensors file", expected)
        if size < 8 + length:
            refuse(
                path,
                f"a cut-off file: {size} bytes, its header alone needs {8 + length}",
                "the whole file; copy it again",
            )
        try:
            header = parse_object(opening + file.read(length - 1))
            header.pop("__metadata__", None)
            end = 8 + length + max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in header.items()}
            foreign = {str(entry["dtype"]) for entry in header.values()} - _DTYPES
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            refuse(path, "a damaged header", expected)
    if len(shapes) > _MAX_TENSORS:
        refuse(path, f"{len(shapes)} tensors, more than any network here has", expected)
    if foreign:
        refuse(path, f"weights of the type {names_of(foreign)}", f"those of {', '.join(sorted(_DTYPES))}")
    if size != end:
        what = "a cut-off file" if size < end else "bytes after the end"
        refuse(path, f"{what}: {size} bytes, its header says {end}", "the whole file; copy it again")
    return shapes


def refuse(path: Path, actual: str, expected: str) -> NoReturn:
    raise CheckpointError(f"{path}: found {actual}; expected {expected}.")


def names_of(names: Iterable[str], most: int = 4) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(repr(name[:80]) for name in ordered[:most]) + more if ordered else "none"
