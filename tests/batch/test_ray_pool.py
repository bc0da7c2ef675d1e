"""Jobs on a real Ray cluster of two machines, here two nodes on loopback: one is killed in the middle."""

import json
import os
import sys
from pathlib import Path

import pytest

from talkface_core.batch.job import Needs
from talkface_core.batch.ray_pool import RayPool
from talkface_core.batch.schedule import Schedule
from talkface_core.cli.main import main
from talkface_core.errors import InputError
from tests.batch.performing import begun, finished, job, setting
from tests.dae_talker.small import save_small_talker

ray = pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray's test cluster is for POSIX")

MEMORY = 4 * 2**30
LOOPBACK = "127.0.0.2"  # for 127.0.0.1 Ray takes the machine's own address in the network
SAMPLE = Path(__file__).parents[2] / "samples" / "hello.flac"


@pytest.fixture(scope="module")
def cluster():
    """A head that works on nothing."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    # Killed nodes are missed after a second, not after half a minute.
    missed = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}
    head = {
        "num_cpus": 0,
        "memory": 2**30,
        "include_dashboard": False,
        "node_ip_address": LOOPBACK,
        "_system_config": missed,
    }
    started = Cluster(initialize_head=True, head_node_args=head)
    started.add_node(num_cpus=2, num_gpus=1, memory=MEMORY, node_ip_address=LOOPBACK)
    yield started
    started.shutdown()


@pytest.fixture
def run(cluster, tmp_path):
    """run(jobs, each): tickets by output; each(ticket) is called as they end."""

    def through(jobs, each=lambda ticket: None):
        ended = {}

        def tell(ticket):
            assert ticket.job.output not in ended
            ended[ticket.job.output] = ticket
            each(ticket)

        schedule = Schedule(jobs, RayPool(setting(tmp_path, tmp_path / "out"), cluster.address, 64))
        try:
            schedule.run(tell, lambda: None)
        finally:
            schedule.end()
        return ended

    return through


def test_a_node_killed_in_the_middle(run, cluster, tmp_path):
    """With a poisoned input, a job that kills its worker, and one that finds the disk full."""
    second = cluster.add_node(num_cpus=2, memory=MEMORY, node_ip_address=LOOPBACK)
    good = [job(n, "write", "0.4") for n in range(20, 36)]
    bad = [job(2, "wrong"), job(3, "die"), job(4, "full"), job(5, "second-time")]
    workers, killed = set(), []

    def kill_the_second(ticket):
        workers.add(ticket.outcome.worker)
        if len(workers) > 2 and not killed:  # both nodes are at work
            killed.append(len(finished(tmp_path)))
            cluster.remove_node(second, allow_graceful=False)

    ended = run([*good[:2], *bad, *good[2:]], kill_the_second)
    assert killed[0] < len(good), "it was killed before the end"
    ends = {name: (ticket.outcome.end, ticket.attempts) for name, ticket in ended.items()}
    # One whose record was written, and whose worker was killed before it could say so, is found done.
    assert {ends.pop(one.output)[0] for one in good} <= {"done", "skipped"}
    assert ends.pop("5.txt")[0] in ("done", "skipped")
    assert {name: end for name, (end, _) in ends.items()} == dict.fromkeys(["2.txt", "3.txt", "4.txt"], "failed")
    assert "poisoned" in ended["2.txt"].outcome.error
    assert "worker was lost" in ended["3.txt"].outcome.error
    assert "No space left" in ended["4.txt"].outcome.error
    wanted = sorted([*(one.output for one in good), "5.txt"])
    made = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.txt")}
    assert made == dict.fromkeys(wanted, "whole")
    # A worker that is killed between its output and its note of it leaves none; the two of the killed node can.
    noted = finished(tmp_path)
    assert len({*noted}) == len(noted), "nothing is made twice"
    assert {*noted} <= {*wanted}
    assert len(noted) >= len(wanted) - 2
    assert len(begun(tmp_path)) > len(good) + 1 + 3 + 3 + 1, "something was in work on the killed node"
    # The same again: what is done is done.
    ended = run(good)
    assert {ticket.outcome.end for ticket in ended.values()} == {"skipped"}
    assert finished(tmp_path) == noted


def test_workers_reserve_what_their_jobs_need(run, cluster, monkeypatch):
    """Two of three GiB do not fit beside each other into one of four; what wants a GPU has it."""
    monkeypatch.setattr(RayPool, "_gpu_bytes", lambda pool: 4)
    heavy = [job(n, "write", "0.5", kind="heavy", needs=Needs(3 * 2**30, 1)) for n in range(2, 5)]
    free = []
    ended = run(heavy, lambda ticket: free.append((ray.cluster_resources(), ray.available_resources())))
    assert len({ticket.outcome.worker for ticket in ended.values()}) == 1
    ((every, left), *_) = free
    assert left["GPU"] == every["GPU"] - 0.25
    assert left["memory"] == every["memory"] - 3 * 2**30


def test_the_command_line_on_a_cluster(cluster, tmp_path, capfd):
    talker = save_small_talker(tmp_path / "small.safetensors")
    table = f"system,inputs,options\nspeak,{SAMPLE},--model {talker.name} --duration 0.5\n"
    (tmp_path / "jobs.csv").write_text(table)
    words = ["batch", tmp_path / "jobs.csv", "-o", tmp_path / "out", "--ray", cluster.address, "--json", "--quiet"]
    assert main([str(word) for word in words]) == 0
    (row,) = json.loads(capfd.readouterr().out)["jobs"]
    assert (row["status"], row["attempts"], row["frames"]) == ("done", 1, 13)
    assert (tmp_path / "out" / "hello-speak.mp4").stat().st_size > 1000


def test_no_cluster_is_told(tmp_path):
    for address, told in (("127.0.0.1:1", "ray start"), ("local", "give auto")):
        with pytest.raises(InputError, match=told):
            RayPool(setting(tmp_path, tmp_path / "out"), address, 1)
