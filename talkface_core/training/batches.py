"""Batches in order, each from a seed of its own, so that a run can go on at any step as if it had never stopped."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from .recipe import Batch, Recipe


def step_seed(seed: int, step: int, process: int, micro: int) -> np.random.SeedSequence:
    """The randomness of one batch: a function of the run, the step, the process and the place within the step."""
    return np.random.SeedSequence((seed, step, process, micro))


def batches(
    recipe: Recipe, seed: int, process: int, first: int, stop: int, accumulation: int = 1, prefetch: bool = False
) -> Iterator[Batch]:
    """`accumulation` batches for each step from `first` to `stop` - 1.

    `prefetch` makes the next two in a background thread; the batches are the same.
    """

    def make(index: int) -> Batch:
        step, micro = divmod(index, accumulation)
        return recipe.batch(step, np.random.Generator(np.random.PCG64(step_seed(seed, step, process, micro))))

    order = range(first * accumulation, stop * accumulation)
    if not prefetch:
        yield from map(make, order)
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    ahead: deque[Future[Batch]] = deque()
    try:
        for index in order:
            ahead.append(pool.submit(make, index))
            if len(ahead) > 2:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
