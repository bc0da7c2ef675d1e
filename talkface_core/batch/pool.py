"""What the scheduler wants of workers, whoever lends them: processes of this machine, or a Ray cluster's."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

from .job import Job, Needs, Outcome


class Hand(Protocol):
    """One worker: a process that does one job at a time and may be lost at any moment.

    ready: is set when it can be given jobs, or to why it could not be started. kind: of its last job, whose models it
    still has.
    """

    ready: Future[Any]
    kind: str

    def fits(self, needs: Needs) -> bool:
        """Whether it has been given enough for a job of these needs."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Do the job. The future raises when the worker is lost."""

    def stop(self) -> None:
        """End it, whatever it is doing; no output is left half."""


class Pool(Protocol):
    """Hires workers; to be closed at the end."""

    def room(self, needs: Needs, hands: int) -> int:
        """How many more workers of these needs could begin at once, where there are `hands` already."""

    def hire(self, needs: Needs) -> Hand:
        """One more worker. It may have to wait for its place."""

    def close(self) -> None:
        """End all workers, and wait for their ends."""
