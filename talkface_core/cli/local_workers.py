"""How many jobs this machine does at a time, and on which GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from ..batch.job import Job

_THREADS = 1
"""Of a worker, where there are jobs and memory enough: one does most; see benchmarks/batch_throughput.py."""


def cores() -> int:
    """Cores that torch would use."""
    import torch

    return torch.get_num_threads()


def pick_batch_workers(jobs: Sequence[Job]) -> int:
    """As many as cores, free memory and the GPUs' memory allow; one at least."""
    most = max(1, cores() // _THREADS)
    memory = max(job.needs.memory for job in jobs)
    most = min(most, max(1, psutil.virtual_memory().available // memory))
    if gpu_memory := max(job.needs.gpu_memory for job in jobs):
        import torch

        free = [torch.cuda.mem_get_info(k)[0] for k in range(torch.cuda.device_count())]
        most = min(most, max(1, sum(bytes_ // gpu_memory for bytes_ in free)))
    return most


def gpus(jobs: Sequence[Job]) -> tuple[str, ...]:
    """The GPUs that workers are shown one of, as CUDA_VISIBLE_DEVICES names them; none where one or none is used."""
    if not any(job.needs.gpu_memory for job in jobs):
        return ()
    import torch

    count = torch.cuda.device_count()
    shown = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return tuple(shown[:count] if shown else map(str, range(count))) if count > 1 else ()
