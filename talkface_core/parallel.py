"""An ordered parallel map: worker threads that share the threads of torch between them, results in order.

Splitting each operation over all cores makes them wait for each other hundreds of times a frame, which costs a lot
where a core is also wanted by others. Workers that each compute a whole item meet only at its end.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 4


def pick_workers(device: torch.device) -> int:
    """Workers for a device: up to four of the threads that torch may use on a CPU; one elsewhere."""
    return min(MOST, torch.get_num_threads()) if device.type == "cpu" else 1


@contextmanager
def worker_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Worker threads that share torch's threads; at the end those at work are waited for, the others called off.

    Meanwhile torch's number of threads is what one worker uses; then it is what it was.
    """
    threads = torch.get_num_threads()
    share = max(1, threads // workers)
    pool = ThreadPoolExecutor(workers, "talkface", initializer=torch.set_num_threads, initargs=(share,))
    try:
        torch.set_num_threads(share)
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


def ordered_map(function: Callable[[Item], Result], items: Iterable[Item], workers: int = 1) -> Iterator[Result]:
    """function(item) for each item, in order. With several workers, items are taken a few ahead of the results.

    While such an iterator is alive, torch's threads are shared as `worker_pool` does. An error stops the iterator; the
    items at hand are finished first.
    """
    if workers == 1:
        yield from map(function, items)
        return
    ahead: deque[Future[Result]] = deque()
    with worker_pool(workers) as pool:
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
