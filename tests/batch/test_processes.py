"""Jobs on real processes: what is killed runs elsewhere, what fails is reported, nothing is lost or done twice."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise

import psutil
import pytest

from talkface_core.batch import processes
from talkface_core.batch.processes import ProcessPool
from talkface_core.batch.schedule import Schedule
from talkface_core.errors import InputError
from tests.batch.performing import begun, finished, job, setting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def run(tmp_path):
    """run(jobs, workers, each): tickets by output; each(ticket) is called as they end."""

    def through(jobs, workers=2, each=lambda ticket: None, home="."):
        ended = {}

        def tell(ticket):
            assert ticket.job.output not in ended
            ended[ticket.job.output] = ticket
            each(ticket)

        known = replace(setting(tmp_path, tmp_path / "out"), home=str(tmp_path / home))
        schedule = Schedule(jobs, ProcessPool(known, workers))
        try:
            schedule.run(tell, lambda: None)
        finally:
            schedule.end()
        return ended

    return through


def test_each_job_ends_once_whatever_happens(run, tmp_path):
    good = [job(n, "write", "0.1") for n in range(2, 8)]
    bad = [job(10, "wrong"), job(11, "die"), job(12, "full"), job(13, "second-time")]
    killed = []

    def kill_once(ticket):
        # The worker that has just finished a job: it is idle or at the next one.
        if not killed and ticket.outcome.end == "done":
            killed.append(ticket.outcome.result["pid"])
            os.kill(killed[0], signal.SIGKILL)

    ended = run([*good[:3], *bad, *good[3:]], each=kill_once)
    assert killed
    ends = {name: (ticket.outcome.end, ticket.attempts) for name, ticket in ended.items()}
    assert len(ends) == 10
    assert {ends.pop(name)[0] for name in [one.output for one in good]} == {"done"}
    assert ends == {"10.txt": ("failed", 1), "11.txt": ("failed", 3), "12.txt": ("failed", 3), "13.txt": ("done", 2)}
    assert "poisoned" in ended["10.txt"].outcome.error
    assert "worker was lost" in ended["11.txt"].outcome.error
    assert "No space left" in ended["12.txt"].outcome.error
    assert finished(tmp_path) == sorted([*(one.output for one in good), "13.txt"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".batch", *finished(tmp_path)]


def test_a_worker_keeps_its_kind(run):
    """Of two kinds in turn in the table, each worker changes once at most."""
    jobs = [job(n, "write", "0.05", kind="ab"[n % 2]) for n in range(8)]
    order = []
    run(jobs, 2, lambda ticket: order.append((ticket.outcome.result["pid"], ticket.job.kind)))
    for pid in {pid for pid, _ in order}:
        kinds = [kind for worker, kind in order if worker == pid]
        assert sum(a != b for a, b in pairwise(kinds)) <= 1


def test_two_runs_share_a_folder(run, tmp_path):
    """As two machines that work through the same table do: each job is done by one of them."""
    jobs = [job(n, "write", "0.1") for n in range(6)]
    results = []
    runs = [threading.Thread(target=lambda: results.append(run(jobs, 1))) for _ in range(2)]
    for one in runs:
        one.start()
    for one in runs:
        one.join(60)
    assert [len(ended) for ended in results] == [6, 6]
    ends = [ticket.outcome.end for ended in results for ticket in ended.values()]
    assert sorted(ends) == ["done"] * 6 + ["skipped"] * 6
    assert finished(tmp_path) == begun(tmp_path) == sorted(one.output for one in jobs)


def test_an_end_in_the_middle_leaves_whole_outputs_alone(run, tmp_path):
    def stop(ticket):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([job(2, "write"), job(3, "write", "60")], 2, stop)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".batch", "2.txt"]
    until = time.monotonic() + 10
    while [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_second_signal_does_not_break_off_what_clears_up(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(processes, "_at_work", True)
    try:
        with pytest.raises(SystemExit):
            processes._end(signal.SIGTERM, None)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_workers_that_cannot_begin_are_told(run, tmp_path):
    with pytest.raises(InputError, match="nowhere is not there"):
        run([job(2, "write")], home="nowhere")


def test_a_job_waits_for_its_parts(run, tmp_path):
    parts = [job(2, "write", "0.1", output=f"part{n}.txt", is_part=True) for n in range(3)]
    whole = job(2, "write", output="whole.txt", parts=tuple(part.output for part in parts))
    order = []
    run([whole, *parts], 2, lambda ticket: order.append(ticket.job.output))
    assert order[-1] == "whole.txt"
    assert finished(tmp_path) == sorted(order)


def test_a_job_whose_part_fails_is_not_begun(run, tmp_path):
    parts = [job(2, "write", output="a.txt"), job(2, "wrong", output="b.txt")]
    ended = run([job(2, "write", output="whole.txt", parts=("a.txt", "b.txt")), *parts])
    assert ended["whole.txt"].outcome.end == "failed"
    assert "1 of 2 parts failed" in ended["whole.txt"].outcome.error
    assert finished(tmp_path) == ["a.txt"]
