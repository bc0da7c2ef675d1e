"""Files that appear whole or not at all: write beside the target, flush to the disk, rename."""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; when the block ends well it becomes `target`, else it is removed.

    The previous `target` stays untouched until the new file is whole and on the disk (fsync, then `os.replace`).
    A process killed in the middle leaves its temporary file; the next write to the same target clears it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(target)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        _flush(part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    if os.name == "posix":
        _flush(target.parent)


def _flush(path: Path) -> None:
    # Windows flushes only handles opened for writing; a POSIX directory opens only for reading.
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_orphans(target: Path) -> None:
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        pid = part.name.split(".")[-2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            part.unlink(missing_ok=True)
