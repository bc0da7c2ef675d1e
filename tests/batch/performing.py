"""Jobs for the tests of workers: they need no model, and leave a note of everything that they finish."""

from __future__ import annotations

import errno
import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

from talkface_core.atomic import whole_file
from talkface_core.batch.job import Job
from talkface_core.batch.record import Records
from talkface_core.batch.worker import Setting
from talkface_core.errors import InputError

NOTES = "notes"


def job(line: int, *words: str, output: str = "", **more: Any) -> Job:
    """One that does as the words say: see `perform`."""
    return Job(line, words, output or f"{line}.txt", **more)


def setting(home: Path, out: Path) -> Setting:
    """Workers that begin in `home` and write below `out`."""
    for folder in (home / NOTES, out):
        folder.mkdir(parents=True, exist_ok=True)
    return Setting(perform, str(home), str(out), 1)


def finished(home: Path) -> list[str]:
    """The outputs that were made whole, each as often as that happened."""
    return sorted(note.name.split("~")[0] for note in (home / NOTES).glob("*~done"))


def begun(home: Path) -> list[str]:
    """The same of attempts."""
    return sorted(note.name.split("~")[0] for note in (home / NOTES).glob("*~began"))


def perform(job: Job, records: Records) -> tuple[dict[str, Any], tuple[str, ...]]:
    """write [seconds]; wrong; die; full; second-time: fails, then is done."""
    verb, *rest = job.words
    again = job.output in begun(Path("."))
    Path(NOTES, f"{job.output}~{uuid.uuid4().hex}~began").touch()
    if verb == "wrong":
        raise InputError(f"{job.output} is poisoned; give another")
    if verb == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    with whole_file(records.target(job)) as part:
        part.write_text("half")
        time.sleep(float(rest[0]) if rest else 0)
        if verb == "full" or (verb == "second-time" and not again):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part.write_text("whole")
    Path(NOTES, f"{job.output}~{uuid.uuid4().hex}~done").touch()
    return {"pid": os.getpid()}, (f"{job.output} was written",)
