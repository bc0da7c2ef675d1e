"""The record of what is done: a file for each job, written whole after its output, and a lock while somebody is at it.

`OUT/.batch/ID.json` says that a job is done: its words, the state of what it read and the sizes of what it made. A
rerun believes it while all of that still holds. `OUT/.batch/ID.lock` is held by the operating system for the process
that is at work (flock): it goes when the process does, however that ends, and other machines see it where the disk
shares locks (NFS 4, SMB, Lustre with flock).
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..atomic import whole_file
from ..errors import InputError
from ..plain_json import parse_object
from .job import Job, fingerprint, stamp

FOLDER = ".batch"


def check_inside(out: Path, *names: str) -> None:
    """Raises InputError for names below the output folder that a link leads out of it, as what is there is not ours,
    and for names below what is no folder."""
    home = Path(os.path.realpath(out))
    for name in names:
        place = Path(os.path.realpath(out / name))
        if not place.is_relative_to(home):
            raise InputError(
                f"output {name!r} would be written to {place}, as a link leads out of {out}; remove the link, "
                "or name another"
            )
        for folder in (out / name).parents:
            if os.path.lexists(folder) and not folder.is_dir():
                raise InputError(
                    f"output {name!r} cannot be written: {folder} is a file, or a link that leads to no folder; remove "
                    "it, or name another"
                )
            if folder == out:
                break


class Records:
    """What is done below the output folder `out`. Paths of inputs are relative to the current folder."""

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.folder = self.out / FOLDER

    def target(self, job: Job) -> Path:
        """Where the job's output stands."""
        return self.out / job.output

    def workplace(self, job: Job) -> Path:
        """A folder on the same disk for what is not whole yet; the next attempt may go on with it."""
        return self.folder / f"{job.id}-{hashlib.sha256(repr(job.words).encode()).hexdigest()[:8]}.part"

    def check_place(self, job: Job) -> None:
        """Raises InputError where a link leads an output, or the record, out of the output folder."""
        check_inside(self.out, FOLDER, *job.outputs)

    def check_folder(self, job: Job) -> None:
        """Raises InputError where a folder that no batch has made stands in the place of the job's own."""
        target = self.target(job)
        ours = any((self.folder / f"{job.id}.{kind}").is_file() for kind in ("json", "began"))
        if not ours and target.is_dir() and any(target.iterdir()):
            raise InputError(
                f"output {job.output!r} is a folder that is there already, and no batch made it; name another"
            )

    def place(self, job: Job, made: Path) -> None:
        """Put the folder `made` in the workplace where the job's output stands, in place of an older one, which is to
        be looked at by `check_folder` before."""
        target, older = self.target(job), self.folder / f"{job.id}.old"
        shutil.rmtree(older, ignore_errors=True)
        if target.exists():
            os.replace(target, older)
        os.replace(made, target)
        for left in (older, *self.folder.glob(f"{job.id}-*.part")):
            shutil.rmtree(left, ignore_errors=True)

    def read(self, job: Job) -> dict[str, Any] | None:
        """What was recorded of the job; None where it is not done, or its words, inputs or outputs have changed."""
        try:
            record = parse_object((self.folder / f"{job.id}.json").read_text(encoding="utf-8"))
            made = dict(record["made"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        same = record.get("words") == list(job.words) and record.get("read") == fingerprint(job.inputs)
        return record if same and made and made == self._made(job) else None

    def begin(self, job: Job, read: dict[str, str]) -> None:
        """An attempt begins; takes down what stands where its outputs will."""
        before = {"words": job.words, "read": read, "before": self._stamps(job)}
        with whole_file(self.folder / f"{job.id}.began") as part:
            part.write_text(json.dumps(before) + "\n", encoding="utf-8")

    def made_unseen(self, job: Job, read: dict[str, str]) -> bool:
        """Whether an earlier attempt made all outputs, and was killed before it could write its record.

        Outputs appear whole, so those that have appeared since it began are the job's.
        """
        try:
            began = parse_object((self.folder / f"{job.id}.began").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if began.get("words") != list(job.words) or began.get("read") != read or not self._made(job):
            return False
        before, now = began.get("before"), self._stamps(job)
        return isinstance(before, dict) and all(before.get(name) != now[name] for name in job.outputs)

    def write(self, job: Job, read: dict[str, str], result: dict[str, Any], seconds: float, worker: str) -> None:
        """The job is done; `read`: the inputs' state before it began."""
        record = {
            "line": job.line,
            "words": job.words,
            "output": job.output,
            "read": read,
            "made": self._made(job),
            "seconds": round(seconds, 3),
            "worker": worker,
            "result": result,
        }
        with whole_file(self.folder / f"{job.id}.json") as part:
            part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (self.folder / f"{job.id}.began").unlink(missing_ok=True)

    def _stamps(self, job: Job) -> dict[str, str]:
        return {name: stamp(self.out / name) for name in job.outputs}

    @contextmanager
    def alone(self, job: Job) -> Iterator[bool]:
        """Within it nobody else works on the job; yields False where somebody else does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{job.id}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def clear(self, job: Job) -> None:
        """Take away what a killed attempt left beside the job's outputs; to be called `alone`."""
        for target in (self.out / name for name in job.outputs):
            for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
                shutil.rmtree(left, ignore_errors=True)

    def log(self, worker: str, event: str, job: Job) -> None:
        """A line in the worker's own diary; none where the disk is full."""
        try:
            with (self.folder / f"{worker}.log").open("a", encoding="utf-8") as file:
                file.write(f"{event}\t{job.output}\n")
        except OSError:
            pass

    def _made(self, job: Job) -> dict[str, str | int]:
        """The outputs' sizes; of a folder that it is there, for it may be added to. Empty where one is missing."""
        made: dict[str, str | int] = {}
        for name in job.outputs:
            target = self.out / name
            if not target.exists():
                return {}
            made[name] = "folder" if target.is_dir() else target.stat().st_size
        return made


def worker_name() -> str:
    """Machine and process."""
    return f"{socket.gethostname()}-{os.getpid()}"
