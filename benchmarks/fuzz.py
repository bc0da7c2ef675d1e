"""Mutated files and arguments: each must be taken or refused in words, within its limits, and leave nothing behind.

    python -m benchmarks.fuzz [--cases N] [--minutes M] [--seed S] [--kind KIND] [--only NUMBER] [--workers N] [--json]

A case is a kind and a number; what happens in it follows from these and the seed alone, so that `--kind pose --only 17`
shows a fault again, with its traceback. Cases run in worker processes with limits of memory and time. By kind the table
counts: refused (an error meant for people), accepted, crash (any other error, a dead process, more on stderr than one
line), hang (too much time), leftover (files that nobody asked for).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

import psutil

from benchmarks.ending import run_program

ROOT = Path(__file__).parents[1]
KINDS = ("audio", "video", "picture", "checkpoint", "convert", "pose", "data", "api", "argv")
OUTCOMES = ("refused", "accepted", "crash", "hang", "leftover")

CPU_SECONDS = 30
"""Time that a case may compute; on a busy machine the clock tells nothing."""

WALL_SECONDS = 600
"""Time after which a case that does not compute is taken to wait for ever."""

MEMORY = 6 * 2**30
"""Bytes of address space that a worker may take beyond what its libraries hold."""


@dataclass
class Found:
    """Counts of outcomes by kind, and of each fault its kind, number and last line."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    faults: list[dict[str, object]] = field(default_factory=list)

    def add(self, kind: str, number: int, outcome: str, told: str) -> None:
        """Count a case."""
        self.counts[kind][outcome] += 1
        if outcome not in ("refused", "accepted"):
            self.faults.append({"kind": kind, "number": number, "outcome": outcome, "told": told})

    def table(self) -> str:
        """A row for each kind, and their sum."""
        rows = [["kind", "cases", *OUTCOMES]]
        total: Counter[str] = Counter()
        for kind, counts in self.counts.items():
            if counts:
                rows.append([kind, str(counts.total()), *(str(counts[name]) for name in OUTCOMES)])
                total += counts
        rows.append(["all", str(total.total()), *(str(total[name]) for name in OUTCOMES)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in rows)


class Worker:
    """A process that runs cases one after the other; a new one takes the place of one that died or was ended."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.process: subprocess.Popen[str] | None = None
        self.answers: SimpleQueue[str] = SimpleQueue()

    def run(self, kind: str, number: int) -> tuple[str, str]:
        """The outcome of a case and what was told."""
        if self.process is None:
            self.start()
        assert self.process
        assert self.process.stdin
        clock = psutil.Process(self.process.pid)
        began, used = time.monotonic(), _cpu_seconds(clock)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{kind} {number}\n")
            self.process.stdin.flush()
        while True:
            with contextlib.suppress(Empty):
                if answer := self.answers.get(timeout=1):
                    outcome, told = json.loads(answer)
                    return outcome, told
                code, self.process = self.process.wait(), None
                return "crash", f"the process ended with {code}"
            if _cpu_seconds(clock) - used > CPU_SECONDS or time.monotonic() - began > WALL_SECONDS:
                self.end()
                return "hang", f"more than {CPU_SECONDS} s of work, or {WALL_SECONDS} s of waiting"

    def start(self) -> None:
        """Begin a process, and a thread that hears its answers."""
        command = [sys.executable, "-m", "benchmarks.fuzz", "--worker", "--seed", str(self.seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, env=environment, text=True)
        self.answers = SimpleQueue()
        process, answers = self.process, self.answers

        def hear() -> None:
            for line in process.stdout or ():
                answers.put(line)
            answers.put("")

        threading.Thread(target=hear, daemon=True).start()
        if not answers.get():
            raise RuntimeError("a worker does not start")

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def run_cases(
    kinds: Sequence[str], cases: int, seed: int = 0, workers: int = 1, minutes: float = 1e9, first: int = 0
) -> Found:
    """Run `cases` cases in all, spread evenly over the kinds, or as many as the time allows."""
    found, lock, end = Found(), threading.Lock(), time.monotonic() + 60 * minutes
    waiting = ((kinds[k % len(kinds)], first + k // len(kinds)) for k in range(cases))

    def work() -> None:
        worker = Worker(seed)
        try:
            while time.monotonic() < end:
                with lock:
                    case = next(waiting, None)
                if case is None:
                    return
                outcome, told = worker.run(*case)
                with lock:
                    found.add(*case, outcome, told)
        finally:
            worker.end()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def serve(seed: int) -> None:
    """The life of a worker: a line "kind number" on stdin, an answer in JSON on stdout."""
    from . import fuzz_kinds, fuzz_seeds  # here, as the parent needs none of its libraries

    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        seeds = fuzz_seeds.Seeds(Path(scratch) / "seeds")
        limit = psutil.Process().memory_info().vms + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print("ready", file=out, flush=True)
        for line in sys.stdin:
            kind, number = line.split()
            answer = _case(fuzz_kinds, seeds, Path(scratch) / "case", kind, f"{seed}/{kind}/{number}")
            print(json.dumps(answer), file=out, flush=True)


def _case(kinds, seeds, folder: Path, kind: str, name: str) -> tuple[str, str]:
    """Run one case in a folder of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    where = Path.cwd()
    os.chdir(folder)
    try:
        outcome = "accepted"
        try:
            case = kinds.make(kind, seeds, folder, name)
            before = set(_files(folder))
            case.run()
        except kinds.REFUSED as error:
            outcome = "refused"
            if "\n" in str(error):
                return "crash", f"more than one line: {error}"
        except BaseException:  # whatever else it is, it is the fault that is looked for
            return "crash", traceback.format_exc()
        made = set(_files(folder)) - before
        left = {name for name in made if Path(name).parts[0] not in case.may_write or ".part" in name}
        return ("leftover", ", ".join(sorted(left))) if left else (outcome, "")
    finally:
        os.chdir(where)


def _files(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*"))


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return times.user + times.system


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=900, help="in all, spread evenly over the kinds")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one case of the kind, with its traceback")
    parser.add_argument("--first", type=int, default=0, metavar="NUMBER", help="begin with this one of each kind")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        serve(args.seed)
        return 0
    kinds = args.kind or KINDS
    if args.only is not None:
        found = run_cases(kinds[:1], 1, args.seed, 1, first=args.only)
    else:
        found = run_cases(kinds, args.cases, args.seed, args.workers, args.minutes, args.first)
    if args.json:
        print(json.dumps({"counts": found.counts, "faults": found.faults}))
        return bool(found.faults)
    print(found.table())
    for fault in found.faults:
        told = str(fault["told"]).strip()
        told = told if args.only is not None else told.splitlines()[-1][:200] if told else ""
        print(f"{fault['outcome']}: --kind {fault['kind']} --only {fault['number']} --seed {args.seed}: {told}")
    return bool(found.faults)


if __name__ == "__main__":
    run_program(main)
