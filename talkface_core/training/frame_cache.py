"""A cache of what is computed once from a data set: decoded frames as a memory map, and other files.

A file's name holds a key of all that its content follows from, so a cache of other clips or settings is never taken. It
is built whole or not at all, and those of the same folder and settings with an older key are removed.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from ..atomic import whole_file
from ..errors import InputError


@dataclass(frozen=True)
class CacheKey:
    """What a cache follows from.

    kind: what it holds ("frames"); folder: the data set's; settings: what tells caches apart that are kept side by side
    (a size in pixels); content: whatever else changes the values, as JSON has it (files, versions, constants).
    """

    kind: str
    folder: Path
    settings: tuple[int, ...]
    content: Sequence[Any]

    @property
    def prefix(self) -> str:
        """How the names of all caches of this kind, folder and settings begin."""
        folder = self.folder.absolute()
        return "-".join([self.kind, folder.name, _digest(str(folder)), *map(str, self.settings)])

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return f"{self.prefix}-{_digest(json.dumps(list(self.content)))}"


def cached_file(key: CacheKey, cache_dir: str | Path, suffix: str, write: Callable[[Path], None]) -> Path:
    """The file of a key in `cache_dir`; where it is not there, `write(path)` makes it."""
    target = Path(cache_dir) / f"{key.name}{suffix}"
    if not target.is_file():
        with whole_file(target) as part:
            write(part)
        for old in set(target.parent.glob(f"{glob.escape(key.prefix)}-*{suffix}")) - {target}:
            # The settings of another cache may begin like this one's.
            if len(old.name) == len(target.name):
                old.unlink(missing_ok=True)
    return target


def cached_frames(
    key: CacheKey,
    cache_dir: str | Path,
    shape: tuple[int, ...],
    frames: Callable[[], Iterable[NDArray[np.uint8]]],
    label: str,
    quiet: bool = False,
) -> NDArray[np.uint8]:
    """A read-only memory map, uint8 `shape` [N, H, W, C]; where its file is not there, it is made of `frames()`.

    `label` stands beside the progress bar. Raises InputError when `frames` gives more or fewer than N.
    """

    def write(part: Path) -> None:
        count = 0
        # Written row by row, not through a map: a disk that fills up is then an error and not the end of the process.
        with part.open("wb") as file:
            npy.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for count, frame in enumerate(tqdm(frames(), label, shape[0], unit="frame", disable=quiet), 1):
                if count <= shape[0]:
                    file.write(np.ascontiguousarray(np.broadcast_to(frame, shape[1:]), np.uint8).data)
        if count != shape[0]:
            raise InputError(f"{key.folder}: {count} frames where {shape[0]} were expected; a file is cut off.")

    return np.load(cached_file(key, cache_dir, ".npy", write), mmap_mode="r", allow_pickle=False)


def stats(paths: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Names, sizes and times of change of files, for a key's content."""
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def weights_sum(module: nn.Module) -> float:
    """A number that changes with a network's weights, for a key's content."""
    return sum(float(weight.double().sum()) for weight in module.state_dict().values())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
