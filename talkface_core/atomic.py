"""Atomic file writes: write beside the target, flush to the disk, rename; files appear whole or not at all."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def whole_file(target: str | Path) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well that file becomes `target`, else it is removed.

    The path has the target's name and lies in a temporary folder beside it. The previous `target` stays untouched
    until the new file is whole and on the disk (fsync, then `os.replace`). A process killed in the middle leaves its
    temporary folder; the next write to the same target clears it.
    """
    # What a link points to is written, not the link.
    target = Path(os.path.realpath(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_orphans(target)
    # A folder, because some libraries (safetensors) put temporary files of their own beside what they write.
    folder = target.with_name(f".{target.name}.{os.getpid()}.part")
    folder.mkdir(exist_ok=True)
    part = folder / target.name
    try:
        # safetensors makes files that only their owner reads; the user's umask decides instead.
        part.touch()
        mode = part.stat().st_mode
        yield part
        os.chmod(part, mode)
        _flush(part)
        os.replace(part, target)
    except OSError as error:
        # A write that finds the disk full does not know of which file it was.
        if error.errno is not None and error.filename is None:
            error.filename = str(target)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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
    for folder in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        pid = folder.name.split(".")[-2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
