"""Arrays in .npy and .npz files that strangers wrote: bounded by the file, never unpickled, one kind of error."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .errors import InputError

_BEYOND = 1e6
_MOST = 2**32
"""Bytes of one array that are read of a compressed file; hours of truth have a hundredth."""


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file of numbers. Raises InputError for any other file."""
    return _guarded(path, ".npy with numpy.save", lambda: _read_file(path))


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a .npz file's arrays, from their headers alone. Raises InputError for any other file."""

    def read() -> dict[str, tuple[int, ...]]:
        with zipfile.ZipFile(path) as archive:
            shapes = {}
            for entry in _entries(archive):
                with archive.open(entry) as file:
                    shapes[entry.filename.removesuffix(".npy")] = _header(file, entry.file_size)
        return shapes

    return _guarded(path, ".npz with numpy.savez", read)


def read_npz(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file, or those named that it has, numbers and text alone. Raises InputError."""

    def read() -> dict[str, NDArray[Any]]:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for entry in _entries(archive):
                name = entry.filename.removesuffix(".npy")
                if not names or name in names:
                    with archive.open(entry) as file:
                        _header(file, entry.file_size)
                    with archive.open(entry) as file:
                        arrays[name] = npy.read_array(file, allow_pickle=False)
        return arrays

    return _guarded(path, ".npz with numpy.savez", read)


def check_numbers(path: Path, name: str, array: Any) -> None:
    """Raises InputError for an array of the truth that holds other than numbers a frame can have."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise InputError(f"{path}: {name!r} holds no numbers; write it again as an array of them.")
    if not np.isfinite(array).all() or (array.size and np.abs(array.astype(np.float64)).max() > _BEYOND):
        raise InputError(f"{path}: {name!r} holds NaN or numbers beyond {_BEYOND:g}; mend it, or leave the clip out.")


def check_landmarks(path: Path, array: NDArray[Any]) -> None:
    """Raises InputError for landmarks that are none: another shape than [T, 68, 2], or a face of no size."""
    if array.ndim != 3 or array.shape[1:] != (68, 2) or not len(array):
        raise InputError(f"{path}: 'landmarks' is {list(array.shape)}; it is [frames, 68, 2].")
    if np.ptp(array.astype(np.float64), axis=1).min() < 1:
        raise InputError(f"{path}: 'landmarks' shows a face of no size; mend it, or leave the clip out.")


def _read_file(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        _header(file, path.stat().st_size)
        file.seek(0)
        return npy.read_array(file, allow_pickle=False)


def _entries(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    if encrypted := [entry.filename for entry in entries if entry.flag_bits & 1]:
        raise ValueError(f"{encrypted[0][:80]} is encrypted")
    return entries


def _header(file: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape that a header tells, once it is known to be what the file holds; `size` in bytes."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    need = dtype.itemsize * math.prod(shape)
    if dtype.hasobject or min(shape, default=0) < 0 or not 0 <= need <= min(size, _MOST):
        raise ValueError(f"an array of {dtype.name[:40]} that needs more than is there")
    return shape


def _guarded(path: Path, how: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError:
        raise
    except Exception as error:  # zip, zlib and the header's little language: the bytes of a stranger can raise anything
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{path}: cannot be read ({told}); write it as {how}, numbers and text alone.") from error
