"""`batch`: many jobs out of a table, on this machine's cores or on a Ray cluster; what is done stays done."""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..installed import require_ray
from .common import add_common, peak_rss_mb, told

if TYPE_CHECKING:
    from ..batch.job import Job
    from ..batch.pool import Pool
    from ..batch.record import Records
    from ..batch.schedule import Ticket

log = logging.getLogger(__name__)

_MOST_WORKERS = 1024
_RAY_THREADS = 1
_TOLD = 20
"""Wrong rows that are told one by one."""


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("batch", help="many jobs, on one machine or many", description=__doc__)
    parser.add_argument(
        "jobs",
        metavar="JOBS.csv",
        help="columns system (speak, dub, ladtalk, landmark-diffusion, animate, imagine, prepare, evaluate …), inputs "
        "(a;b), options (flags as on the command line) and, if you like, output; paths start at the table's folder",
    )
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="folder for all outputs and results.csv")
    parser.add_argument("--workers", type=int, metavar="N", help="jobs at a time (default: as cores and memory allow)")
    parser.add_argument("--threads", type=int, metavar="N", help="of each worker (default: cores by workers; on Ray 1)")
    parser.add_argument("--retries", type=int, default=3, metavar="N", help="attempts before a job is given up (3)")
    parser.add_argument("--skip-wrong", action="store_true", help="report rows that are wrong and do the others")
    parser.add_argument("--ray", metavar="auto|ADDRESS", help="work on this Ray cluster (pip install ray)")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check all rows, do what is not done, and report."""
    began = time.perf_counter()
    for flag, most in (("workers", _MOST_WORKERS), ("threads", 256), ("retries", 100)):
        value = getattr(args, flag)
        if value is not None and not 1 <= value <= most:
            raise InputError(f"--{flag} {value}: give 1 to {most}")
    if args.ray is not None:
        require_ray()
    from ..batch.record import Records, check_inside
    from ..batch.results import RESULTS, counted, rows_of, table_text, write_results
    from ..batch.table import read_table

    table = Path(args.jobs).absolute()
    rows = read_table(table)
    if not rows:
        raise InputError(f"job table {args.jobs} has no rows below its first line; write one for each job")
    out = Path(args.output).absolute()
    if out.exists() and not out.is_dir():
        raise InputError(f"output folder {args.output} is a file; give a folder")
    if os.path.realpath(table) == os.path.realpath(out / RESULTS):
        raise InputError(f"job table {args.jobs} is where the results are written; give it another name than {RESULTS}")
    check_inside(out, RESULTS)
    records = Records(out)
    with _inside(table.parent):
        tickets = _checked(args, table.name, rows, records)
        _look_up(tickets, records)
        try:
            _work(args, tickets, records, str(table.parent))
        finally:
            result_rows = rows_of([ticket for ticket in tickets if not ticket.job.is_part])
            path = out / RESULTS
            try:
                write_results(path, result_rows)
            except OSError as error:  # a full disk: the table is shown all the same
                log.warning("%s", told(error))
    counts = counted(result_rows)
    if args.json:
        about = {"seconds_wall": round(time.perf_counter() - began, 3), "peak_rss_mb": round(peak_rss_mb(), 1)}
        print(json.dumps({"output": str(out), "results": str(path), **about, "counts": counts, "jobs": result_rows}))
    elif not args.quiet:
        print(table_text(result_rows))
    if failed := counts.get("failed"):
        raise InputError(f"{failed} of {len(rows)} jobs failed; see {path}, mend them and run the same command again")
    return 0


def _checked(args: argparse.Namespace, name: str, rows: Sequence[Any], records: Records) -> list[Ticket]:
    """A ticket for each row; wrong ones, where they are to be skipped, have their outcome. Raises InputError."""
    from tqdm import tqdm

    from ..batch.job import FAILED, Job, Outcome
    from ..batch.schedule import Ticket
    from .job_parts import parted
    from .jobs import check_job, make_job, make_row_parser

    parser, tickets = make_row_parser(), []
    wrong: dict[int, str] = {}
    taken = _Taken()
    jobs: dict[int, Job] = {}
    parts: dict[int, list[Job]] = {}
    for row in rows:
        try:
            job = make_job(row, args.device, parser)
            taken.add(job)
            records.check_place(job)
            jobs[row.line] = job
        except InputError as error:
            wrong[row.line] = str(error)
    with (
        _folders(records.out, jobs.values()) as made,
        tqdm(total=len(jobs), desc="checking", unit="job", disable=args.quiet, leave=False, delay=2) as bar,
    ):
        for line, job in jobs.items():
            try:
                parts[line] = parted(job, check_job(job, records.out, parser))
            except InputError as error:
                wrong[line] = str(error)
            bar.update()
        bar.close()
        if wrong and not (args.skip_wrong and len(wrong) < len(rows)):
            lines = [f"{name} line {line}: {wrong[line]}" for line in sorted(wrong)]
            if len(lines) == 1:
                raise InputError(lines[0])
            for wrong_row in lines[:_TOLD]:
                log.warning("%s", wrong_row)
            raise InputError(f"{len(wrong)} of {len(rows)} rows are wrong (line {min(wrong)} first); nothing was begun")
        made.clear()
    for row in rows:
        if row.line in wrong:
            job = jobs.get(row.line) or Job(row.line, (row.system, *row.inputs), row.output)
            tickets.append(Ticket(job, outcome=Outcome(FAILED, error=wrong[row.line])))
        else:
            tickets += map(Ticket, parts[row.line])
    return tickets


class _Taken:
    """Lines by the outputs that they name, and by the folders that those need; some disks do not tell A from a."""

    def __init__(self) -> None:
        self._outputs: dict[str, int] = {}
        self._folders: dict[str, int] = {}

    def add(self, job: Job) -> None:
        """Raises InputError for an output that another line has, that lies in another's, or holds another's."""
        from ..batch.results import RESULTS

        for output in job.outputs:
            path = PurePosixPath(output.casefold())
            folders = [str(folder) for folder in path.parents][:-1]
            if RESULTS in (str(path), *folders):
                raise InputError(f"output {output!r} is where the results are written; name it in a column output")
            if (line := self._outputs.get(str(path))) is not None:
                raise InputError(f"output {output!r} is that of line {line} too; name it in a column output")
            lines = [self._outputs.get(folder) for folder in folders] + [self._folders.get(str(path))]
            if (line := next(filter(None, lines), None)) is not None:
                raise InputError(f"output {output!r} and that of line {line} lie one in the other; name it elsewhere")
            self._outputs[str(path)] = job.line
            self._folders |= dict.fromkeys(folders, job.line)


@contextmanager
def _folders(out: Path, jobs: Any) -> Iterator[list[Path]]:
    """The folders of all outputs; new ones go again unless the list of them, which it yields, is emptied."""
    made: list[Path] = []
    try:
        for folder in dict.fromkeys([out, *(out.joinpath(name).parent for job in jobs for name in job.outputs)]):
            missing = [part for part in (folder, *folder.parents) if not part.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            made += reversed(missing)
        yield made
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


def _look_up(tickets: Sequence[Ticket], records: Records) -> None:
    """Jobs that are done need no worker, nor do their parts."""
    from ..batch.job import SKIPPED, Outcome

    joined: set[str] = set()
    for ticket in reversed(tickets):  # a job stands behind its parts
        if ticket.outcome is not None:
            continue
        if ticket.job.output in joined:
            ticket.outcome = Outcome(SKIPPED)
        elif (record := records.read(ticket.job)) is not None:
            ticket.outcome = Outcome(SKIPPED, record["result"], worker=str(record.get("worker", "")))
            joined |= set(ticket.job.parts)


def _work(args: argparse.Namespace, tickets: list[Ticket], records: Records, home: str) -> None:
    """Do what has no outcome yet. Ctrl-C ends all workers; what they had half done is cleared up."""
    from tqdm import tqdm

    from ..batch.schedule import Schedule

    todo = {ticket.job.id: ticket for ticket in tickets if ticket.outcome is None}
    if not todo:
        return
    jobs = [ticket.job for ticket in todo.values()]
    pool = _pool(args, jobs, str(records.out), home)
    schedule = Schedule(jobs, pool, args.retries)
    failed = 0
    with tqdm(total=len(tickets), initial=len(tickets) - len(todo), unit="job", disable=args.quiet, desc="jobs") as bar:

        def tell(ended: Ticket) -> None:
            nonlocal failed
            ticket = todo[ended.job.id]
            ticket.outcome, ticket.attempts = ended.outcome, ended.attempts
            for message in ended.outcome.messages if ended.outcome else ():
                log.warning("line %d: %s", ended.job.line, message)
            if ended.outcome and ended.outcome.end == "failed":
                failed += 1
                log.warning("line %d failed: %s", ended.job.line, ended.outcome.error)
            bar.update()

        def tick() -> None:
            names = sorted(Path(ticket.job.output).name for _, ticket in schedule.busy.values())
            more = f" +{len(names) - 2}" if len(names) > 2 else ""
            now = f"workers: {len(schedule.hands)}, failed: {failed}, now: {', '.join(names[:2])}{more}"
            bar.set_postfix_str(now if names else "waiting" if schedule.waiting else f"failed: {failed}")

        try:
            schedule.run(tell, tick)
        finally:
            # Also those that lost a worker and were to be tried again.
            begun = [ticket.job for ticket in schedule.waiting if ticket.attempts]
            begun += [ticket.job for _, ticket in schedule.busy.values()]
            schedule.end()
            _clear_up(begun, records)


def _clear_up(jobs: Sequence[Job], records: Records) -> None:
    """Take away the unfinished parts of these jobs' outputs, as soon as their workers have let go of them."""
    until = time.monotonic() + 10
    for job in jobs:
        while time.monotonic() < until:
            with suppress(OSError), records.alone(job) as ours:
                if ours:
                    records.clear(job)
                    break
            time.sleep(0.1)


def _pool(args: argparse.Namespace, jobs: Sequence[Job], out: str, home: str) -> Pool:
    from ..batch.worker import Setting
    from .jobs import perform, ready

    if args.ray is not None:
        from ..batch.ray_pool import RayPool

        return RayPool(
            Setting(perform, home, out, args.threads or _RAY_THREADS, ready), args.ray, args.workers or _MOST_WORKERS
        )
    from ..batch.processes import ProcessPool
    from .local_workers import cores, gpus, pick_batch_workers

    workers = min(args.workers or pick_batch_workers(jobs), len(jobs))
    threads = args.threads or max(1, cores() // workers)
    return ProcessPool(Setting(perform, home, out, threads, ready), workers, gpus(jobs))


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """The current folder is another within it: the table's paths start there."""
    former = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)
