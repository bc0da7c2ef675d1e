"""Reproducible batches: each is drawn from a seed of its own, so that a run can go on at any step."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ..device import to_device
from .recipe import Batch, Recipe

_MOST_WORKERS = 4


def step_seed(seed: int, step: int, process: int, micro: int) -> np.random.SeedSequence:
    """The randomness of one batch: a function of the run, the step, the process and the place within the step."""
    return np.random.SeedSequence((seed, step, process, micro))


def workers_for(device: torch.device) -> int:
    """How many threads make batches beside a device: a CPU that trains has none to spare but one."""
    return 1 if device.type == "cpu" else min(_MOST_WORKERS, os.cpu_count() or 1)


def batches(
    recipe: Recipe,
    seed: int,
    process: int,
    first: int,
    stop: int,
    accumulation: int = 1,
    workers: int = 0,
    pinned: bool = False,
) -> Iterator[Batch]:
    """`accumulation` batches for each step from `first` to `stop` - 1.

    `workers` threads make them ahead of time; 0: each is made when it is asked for. The batches are the same however
    many there are. `pinned`: in memory that CUDA can fetch them from while the host goes on.
    """

    def make(index: int) -> Batch:
        step, micro = divmod(index, accumulation)
        batch = recipe.batch(step, np.random.Generator(np.random.PCG64(step_seed(seed, step, process, micro))))
        return {name: value.pin_memory() for name, value in batch.items()} if pinned else batch

    order = range(first * accumulation, stop * accumulation)
    if not workers:
        yield from map(make, order)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="batches")
    ahead: deque[Future[Batch]] = deque()
    try:
        for index in order:
            ahead.append(pool.submit(make, index))
            if len(ahead) > workers + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def send(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device; from pinned memory without waiting for it."""
    return {name: to_device(value, device) for name, value in batch.items()}
