"""A job, what it needs, and how one attempt at it ended; all of it plain data that travels between machines."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import InputError

DONE, SKIPPED, FAILED, WRONG, ELSEWHERE = "done", "skipped", "failed", "wrong input", "elsewhere"
"""Ends of an attempt: it is done; it was done already; it may be tried again; trying again is of no use; another run is
at it right now."""

_RESERVED = '<>:"|?*'  # what Windows allows in no name


@dataclass(frozen=True)
class Needs:
    """What a worker takes for a job: bytes of memory, its own libraries included, and bytes of a GPU's, 0 for none."""

    memory: int = 0
    gpu_memory: int = 0


@dataclass(frozen=True)
class Job:
    """line: of the table; words: of the command line, which make it what it is; output: its name below the output
    folder; extra: other files that it writes there; inputs: the files and folders that it reads; kind: equal for jobs
    that use the same loaded models; place: words of the command line that say where it runs, and change nothing;
    parts: outputs of other jobs, which it waits for and joins; is_part: whether it is one of those."""

    line: int
    words: tuple[str, ...]
    output: str
    extra: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    kind: str = ""
    place: tuple[str, ...] = ()
    needs: Needs = field(default_factory=Needs)
    parts: tuple[str, ...] = ()
    is_part: bool = False

    @property
    def id(self) -> str:
        """Names its record: jobs of one output are one job."""
        return hashlib.sha256(self.output.encode()).hexdigest()[:16]

    @property
    def outputs(self) -> tuple[str, ...]:
        """All that it writes."""
        return (self.output, *self.extra)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: one of the ends above, what the job says of what it made (JSON), what went wrong, warnings
    on the way, seconds by the clock and of processor time, and the worker."""

    end: str
    result: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    messages: tuple[str, ...] = ()
    seconds: float = 0.0
    seconds_cpu: float = 0.0
    worker: str = ""


def checked_output(name: str) -> str:
    """The name of an output, with / between folders. Raises InputError for one that may lie outside the folder, for
    hidden ones, and for names that not every system allows."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    absolute = name.startswith(("/", "\\", "~")) or PureWindowsPath(name).drive
    if not parts or absolute or ".." in parts:
        raise InputError(f"output {name!r} does not stay below the output folder; give a name such as clips/one.mp4")
    bad = [p for p in parts if p.startswith(".") or p != p.rstrip(". ") or any(c in _RESERVED or c < " " for c in p)]
    if bad:
        raise InputError(f"output {name!r}: {bad[0]!r} is no name that every disk takes; use letters, digits, - and _")
    return "/".join(parts)


def fingerprint(inputs: tuple[str, ...]) -> dict[str, str]:
    """What tells that a file or folder has changed: size and time, of a folder those of all that is in it."""
    return {name: _state(Path(name)) for name in inputs}


def _state(path: Path) -> str:
    if not path.is_dir():
        return stamp(path)
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            file = Path(folder, name)
            digest.update(f"{file.relative_to(path).as_posix()} {stamp(file)}\n".encode())
    return digest.hexdigest()[:16]


def stamp(path: Path) -> str:
    """Size and time of a file or of a folder itself; "missing" where there is none."""
    try:
        about = path.stat()
    except OSError:
        return "missing"
    return f"{about.st_size} {about.st_mtime_ns}"
