"""Workers on a Ray cluster: an actor each, which keeps its models loaded and reserves what its jobs need.

Ray is asked to restart and to retry nothing: who does what again is the scheduler's to say, and the record's. Where a
worker waits for its place, a cluster that grows by itself grows.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..installed import require_ray
from .job import Job, Needs, Outcome
from .worker import Setting, settle, work

_ROOT = str(Path(__file__).resolve().parents[2])


class _Worker:
    """The actor: a worker in a process of its own."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        settle(setting)

    def ready(self) -> int:
        """Its process; the call returns once it has its place and has begun."""
        return os.getpid()

    def work(self, job: Job) -> Outcome:
        """One attempt at a job."""
        return work(self._setting, job)


class RayHand:
    """A worker somewhere in the cluster."""

    def __init__(self, actor: Any, needs: Needs, end: Any) -> None:
        self.kind = ""
        self._actor, self._needs, self._end = actor, needs, end
        self.ready: Future[Any] = actor.ready.remote().future()

    def fits(self, needs: Needs) -> bool:
        """Whether as much was reserved."""
        return needs.memory <= self._needs.memory and needs.gpu_memory <= self._needs.gpu_memory

    def submit(self, job: Job) -> Future[Outcome]:
        """Do the job; the future raises a RayError when the process or its machine is gone."""
        return self._actor.work.remote(job).future()

    def stop(self) -> None:
        """End the process at once: what it has half done is cleared up by the next attempt, or at the end."""
        self._end(self._actor)


class RayPool:
    """Workers of `threads` cores each, `most` of them at a time, on the cluster at `address` ("auto": the one that is
    found here). Raises InputError where there is no cluster."""

    def __init__(self, setting: Setting, address: str, most: int) -> None:
        require_ray()
        import ray

        self._ray, self._setting, self._most = ray, setting, most
        self._connected = not ray.is_initialized()
        if self._connected:
            _reach(address)
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, namespace="talkface")
            except (ConnectionError, ValueError, RuntimeError) as error:
                told = " ".join(str(error).split())[:200]
                raise InputError(
                    f"--ray {address}: no cluster answers ({told}); start one by `ray start --head`"
                ) from error
        self._actor = ray.remote(_Worker)
        self._gpu_memory: int | None = None

    def room(self, needs: Needs, hands: int) -> int:
        """How many fit into what is free."""
        free = self._ray.available_resources()
        asked = self._options(needs)
        parts = [free.get("CPU", 0) / asked["num_cpus"]]
        if asked["memory"]:
            parts.append(free.get("memory", 0) / asked["memory"])
        if asked["num_gpus"]:
            parts.append(free.get("GPU", 0) / asked["num_gpus"])
        return max(0, min(self._most - hands, int(min(parts))))

    def hire(self, needs: Needs) -> RayHand:
        """Ask the cluster for a worker."""
        waiting = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")  # as the command line has set it here
        threads = {"OMP_NUM_THREADS": str(self._setting.threads), "OMP_WAIT_POLICY": waiting}
        environment = {"PYTHONPATH": _ROOT, **threads}
        options = {"max_restarts": 0, "max_task_retries": 0, "runtime_env": {"env_vars": environment}}
        actor = self._actor.options(**self._options(needs), **options).remote(self._setting)
        return RayHand(actor, needs, lambda actor: self._ray.kill(actor, no_restart=True))

    def close(self) -> None:
        """Leave the cluster, which ends what this program began in it."""
        if self._connected:
            self._ray.shutdown()

    def _options(self, needs: Needs) -> dict[str, float]:
        """What is reserved: no more than the largest machine has, or the worker would wait for ever."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]] or [{}]
        largest = {name: max(machine.get(name, 0) for machine in machines) for name in ("CPU", "memory", "GPU")}
        share = min(1.0, math.ceil(100 * needs.gpu_memory / self._gpu_bytes()) / 100) if needs.gpu_memory else 0
        return {
            "num_cpus": max(min(self._setting.threads, largest["CPU"]), 1),
            "memory": int(min(needs.memory, largest["memory"])),
            "num_gpus": share if largest["GPU"] else 0,
        }

    def _gpu_bytes(self) -> int:
        """Memory of one of the cluster's GPUs, asked once; 1, so that jobs take whole GPUs, where it is not told."""
        if self._gpu_memory is None:
            task = self._ray.remote(_gpu_bytes).options(num_gpus=0.01, max_retries=0)
            try:
                self._gpu_memory = int(self._ray.get(task.remote(), timeout=60))
            except self._ray.exceptions.RayError:
                self._gpu_memory = 1
        return self._gpu_memory


def _reach(address: str) -> None:
    """Raises InputError where nobody listens: Ray itself would try for minutes."""
    if (match := re.fullmatch(r"(?:ray://)?\[?([^/\s]+?)\]?:(\d{1,5})", address)) is None:
        if address != "auto":
            raise InputError(f"--ray {address}: give auto, or the address of the head, such as 10.0.0.1:6379")
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray {address}: no cluster answers ({error}); start one by `ray start --head`") from error


def _gpu_bytes() -> int:
    import torch

    return torch.cuda.mem_get_info()[1] if torch.cuda.is_available() else 1
