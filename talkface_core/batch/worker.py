"""What a worker does with a job, wherever it runs: take it, look whether it is done, do it, record it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from .job import DONE, ELSEWHERE, FAILED, SKIPPED, WRONG, Job, Outcome, fingerprint
from .record import Records, worker_name


class TryAgain(Exception):
    """An attempt failed for a reason that may pass; the message is a line for people."""


Perform = Callable[[Job, Records], tuple[dict[str, Any], tuple[str, ...]]]
"""Makes a job's output, whole; returns what is to be said of it and warnings. Raises InputError where trying again is
of no use, TryAgain where it may help. A function of a module, so that it can be named to other machines."""


@dataclass(frozen=True)
class Setting:
    """What all workers know: what they do, the folder that the table's paths start from, where outputs go, threads; and
    what is to be called with these threads first."""

    perform: Perform
    home: str
    out: str
    threads: int
    ready: Callable[[int], None] | None = None


def settle(setting: Setting) -> str:
    """Make this process a worker; its name. Raises InputError where the folders are not there on this machine."""
    os.environ["OMP_NUM_THREADS"] = str(setting.threads)
    for folder in (setting.home, setting.out):
        if not os.path.isdir(folder):
            raise InputError(f"folder {folder} is not there on {worker_name()}; all machines need the same shared disk")
    os.chdir(setting.home)
    if setting.ready is not None:
        setting.ready(setting.threads)
    return worker_name()


def work(setting: Setting, job: Job) -> Outcome:
    """One attempt at a job."""
    began, spent, worker, records = time.perf_counter(), time.process_time(), worker_name(), Records(setting.out)
    try:
        outcome = _attempt(setting.perform, job, records, worker)
    except InputError as error:
        outcome = Outcome(WRONG, error=str(error))
    except TryAgain as error:
        outcome = Outcome(FAILED, error=str(error))
    except OSError as error:  # of the lock or of the record
        outcome = Outcome(FAILED, error=f"{error.filename or setting.out}: {error.strerror or error}")
    seconds, seconds_cpu = time.perf_counter() - began, time.process_time() - spent
    return replace(outcome, seconds=seconds, seconds_cpu=seconds_cpu, worker=worker)


def _attempt(perform: Perform, job: Job, records: Records, worker: str) -> Outcome:
    records.check_place(job)  # a link may have been made since the table was looked at
    with records.alone(job) as ours:
        if not ours:
            return Outcome(ELSEWHERE)
        # A worker that was lost, or another run, may have done it in the meantime.
        if (record := records.read(job)) is not None:
            return Outcome(SKIPPED, record["result"])
        records.clear(job)
        began, read = time.perf_counter(), fingerprint(job.inputs)
        if records.made_unseen(job, read):
            records.write(job, read, {}, 0.0, worker)
            return Outcome(DONE, messages=("made by a worker that was lost before it could say more of it",))
        records.begin(job, read)
        records.log(worker, "began", job)
        result, messages = perform(job, records)
        records.write(job, read, result, time.perf_counter() - began, worker)
        records.log(worker, "done", job)
        return Outcome(DONE, result, messages=messages)
