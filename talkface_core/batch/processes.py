"""Workers on this machine: each a process of its own, so that one that is killed takes no other along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from .job import Job, Needs, Outcome
from .worker import Setting, settle, work

_GRACE = 20.0  # seconds in which a worker that is told to end cleans up
_LAST = 143


class ProcessHand:
    """A pool of one process: a pool of several breaks as a whole when one of its processes is killed."""

    def __init__(self, setting: Setting, gpu: str | None) -> None:
        self.kind = ""
        self._setting = setting
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        with _uninterrupted():
            self.ready: Future[Any] = self._pool.submit(_settle, setting, gpu)

    def fits(self, needs: Needs) -> bool:
        """Processes share the machine's memory: how many there are takes care of it."""
        return True

    def submit(self, job: Job) -> Future[Outcome]:
        """Do the job; raises, or the future does, BrokenExecutor when the process is gone."""
        return self._pool.submit(_work, self._setting, job)

    def stop(self) -> None:
        """Ask it to end at once."""
        if self.ready.done() and self.ready.exception() is None:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self.ready.result()).terminate()
        self._pool.shutdown(wait=False, cancel_futures=True)


class ProcessPool:
    """At most `workers` processes; with several GPUs each is shown one of `gpus`, in turn."""

    def __init__(self, setting: Setting, workers: int, gpus: tuple[str, ...] = ()) -> None:
        self._setting, self._workers, self._gpus = setting, workers, gpus
        self._others = set(multiprocessing.active_children())
        self._hired = 0

    def room(self, needs: Needs, hands: int) -> int:
        """What is left of `workers`."""
        return self._workers - hands

    def hire(self, needs: Needs) -> ProcessHand:
        """Start a process."""
        gpu = self._gpus[self._hired % len(self._gpus)] if self._gpus else None
        self._hired += 1
        return ProcessHand(self._setting, gpu)

    def close(self) -> None:
        """Ask all to end, wait for them, kill those that do not."""
        ours = [child for child in multiprocessing.active_children() if child not in self._others]
        for child in ours:
            child.terminate()
        for child in ours:
            child.join(_GRACE)
            if child.is_alive():
                child.kill()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that is started within it takes no Ctrl-C: the terminal sends that to all, but its parent decides."""
    if sys.platform == "win32":
        yield
        return
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _settle(setting: Setting, gpu: str | None) -> int:
    """Runs in the process; returns its number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    settle(setting)
    return os.getpid()


_at_work = False


def _work(setting: Setting, job: Job) -> Outcome:
    global _at_work
    _at_work = True
    try:
        return work(setting, job)
    except SystemExit:  # which the pool would take for the job's answer
        os._exit(_LAST)
    finally:
        _at_work = False


def _end(number: int, frame: object) -> None:
    """A job ends through all its `finally`, so that no half-written file stays; without one there is nothing to do."""
    if not _at_work:
        os._exit(_LAST)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # asked again, it would break off what clears up
    raise SystemExit(_LAST)


def _end_with_the_parent() -> None:
    """A parent that was killed tells nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
