"""Gives jobs to workers until none is left: what fails or loses its worker is tried again, up to a limit.

A worker keeps getting jobs of one kind as long as there are any, since their models are loaded in it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace

from ..errors import InputError
from .job import DONE, ELSEWHERE, FAILED, SKIPPED, Job, Outcome
from .pool import Hand, Pool

_TICK = 0.5  # seconds between looks at what has changed besides a job's end
_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds before a failed job is tried again, doubled each time
_STARTS = 3  # workers that may fail to start, one after the other
_PATIENCE = 120.0  # seconds that a worker may wait for its place before another one is asked for


@dataclass
class Ticket:
    """A job on its way: attempts begun, when it may be tried (clock of `time.monotonic`), how it ended."""

    job: Job
    attempts: int = 0
    not_before: float = 0.0
    outcome: Outcome | None = None


@dataclass
class Schedule:
    """Works through `jobs` with `pool`'s workers; each is tried `attempts` times at most."""

    jobs: Sequence[Job]
    pool: Pool
    attempts: int = 3
    hands: list[Hand] = field(default_factory=list)
    busy: dict[Future[Outcome], tuple[Hand, Ticket]] = field(default_factory=dict)
    waiting: list[Ticket] = field(default_factory=list)
    _since: dict[int, float] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)
    _lost: dict[str, str] = field(default_factory=dict)
    _failed_starts: int = 0

    def run(self, tell: Callable[[Ticket], None], tick: Callable[[], None]) -> None:
        """tell(ticket) for each job as it ends for good; tick() twice a second.

        Raises InputError where workers cannot be started.
        """
        kinds = list(dict.fromkeys(job.kind for job in self.jobs))
        # Heavy kinds need not come first: but one kind after the other, so that models are loaded once a worker.
        self.waiting = [Ticket(job) for job in sorted(self.jobs, key=lambda job: kinds.index(job.kind))]
        self._open = {job.output for job in self.jobs}
        while self.waiting or self.busy:
            for ticket in self._hopeless():
                self._close(ticket)
                tell(ticket)
            self._start()
            self._hire()
            self._retire()
            futures = [*self.busy, *(hand.ready for hand in self.hands if not hand.ready.done())]
            done, _ = wait(futures, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in done & self.busy.keys():
                hand, ticket = self.busy.pop(future)
                if self._ended(future, hand, ticket):
                    self._close(ticket)
                    tell(ticket)
            if not futures:
                time.sleep(_TICK)
            tick()

    def end(self) -> None:
        """End all workers."""
        for hand in list(self.hands):
            self._let_go(hand)
        self.pool.close()

    def _idle(self) -> list[Hand]:
        working = [hand for hand, _ in self.busy.values()]
        return [hand for hand in self.hands if hand.ready.done() and hand not in working]

    def _start(self) -> None:
        """Give waiting jobs to idle workers; those that could not be started are let go."""
        for hand in self._idle():
            if (error := hand.ready.exception()) is not None:
                self._let_go(hand)
                self._failed_starts += 1
                if self._failed_starts >= _STARTS:
                    raise InputError(f"workers cannot be started: {_first_line(error)}") from error
                continue
            ticket = self._next(hand)
            if ticket is None:
                continue
            self.waiting.remove(ticket)
            ticket.attempts += 1
            hand.kind = ticket.job.kind
            try:
                self.busy[hand.submit(ticket.job)] = hand, ticket
            except Exception as lost:  # while it was idle
                self._let_go(hand)
                ticket.attempts -= 1
                self.waiting.insert(0, ticket)
                self._failed_starts += 1
                if self._failed_starts >= _STARTS:
                    raise InputError(f"workers are lost at once: {_first_line(lost)}") from lost

    def _next(self, hand: Hand) -> Ticket | None:
        """The first job that may be tried now, one of the models that the worker has if there is any."""
        now = time.monotonic()
        fit = [ticket for ticket in self._ready(now) if hand.fits(ticket.job.needs)]
        return next((ticket for ticket in fit if ticket.job.kind == hand.kind), fit[0] if fit else None)

    def _ready(self, now: float) -> list[Ticket]:
        """What may be tried now: neither paused nor waiting for its parts."""
        return [
            ticket
            for ticket in self.waiting
            if ticket.not_before <= now and not any(part in self._open for part in ticket.job.parts)
        ]

    def _hopeless(self) -> list[Ticket]:
        """Waiting jobs some of whose parts have failed, when the others have ended; they are waiting no more."""
        found = [ticket for ticket in self._ready(math.inf) if any(part in self._lost for part in ticket.job.parts)]
        for ticket in found:
            self.waiting.remove(ticket)
            lost = [part for part in ticket.job.parts if part in self._lost]
            told = f"{len(lost)} of {len(ticket.job.parts)} parts failed, the first: {self._lost[lost[0]]}"
            ticket.outcome = Outcome(FAILED, error=told)
        return found

    def _close(self, ticket: Ticket) -> None:
        self._open.discard(ticket.job.output)
        if ticket.outcome is not None and ticket.outcome.end == FAILED:
            self._lost[ticket.job.output] = f"{' '.join(ticket.job.words[1:2])}: {ticket.outcome.error}"

    def _hire(self) -> None:
        """Ask for as many workers as there are jobs for them and places; for one where there is no place, in case."""
        now = time.monotonic()
        for hand in [hand for hand in self.hands if not hand.ready.done()]:
            if now - self._since[id(hand)] > _PATIENCE:
                self._let_go(hand)
        starting = sum(not hand.ready.done() for hand in self.hands)
        ready = self._ready(now)
        if starting or not ready:
            return
        needs = ready[0].job.needs
        room = min(self.pool.room(needs, len(self.hands)), len(ready))
        for _ in range(max(room, 0 if self.hands else 1)):
            hand = self.pool.hire(needs)
            self._since[id(hand)] = now
            self.hands.append(hand)

    def _retire(self) -> None:
        """Let workers go that no waiting job fits: another may want their place."""
        for hand in self._idle():
            if not any(hand.fits(ticket.job.needs) for ticket in self.waiting):
                self._let_go(hand)

    def _let_go(self, hand: Hand) -> None:
        self.hands.remove(hand)
        self._since.pop(id(hand), None)
        hand.stop()

    def _ended(self, future: Future[Outcome], hand: Hand, ticket: Ticket) -> bool:
        """Take down how an attempt ended; whether that is final."""
        error = future.exception()
        if error is None:
            outcome = future.result()
            self._failed_starts = 0
        else:
            self._let_go(hand)
            outcome = Outcome(FAILED, error=f"its worker was lost: killed, or out of memory ({_first_line(error)})")
        if outcome.end == ELSEWHERE:
            ticket.attempts -= 1
            ticket.not_before = time.monotonic() + 2 * _TICK
        elif outcome.end == FAILED and ticket.attempts < self.attempts:
            pause = min(_PAUSE * 2 ** (ticket.attempts - 1), _LONGEST_PAUSE)
            ticket.not_before = time.monotonic() + pause
        else:
            ticket.outcome = replace(outcome, end=outcome.end if outcome.end in (DONE, SKIPPED) else FAILED)
            return True
        self.waiting.append(ticket)
        return False


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
