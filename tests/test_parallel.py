"""Several workers: results in order, a bounded lead, errors that surface, torch's threads given back."""

import threading
import time

import pytest
import torch

from talkface_core.parallel import MOST, ordered_map, pick_workers


@pytest.fixture(autouse=True)
def threads():
    """Six threads of torch for a test, and afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(6)
    yield
    assert torch.get_num_threads() == 6
    torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_results_keep_their_order(workers):
    def slow(n: int) -> int:
        time.sleep(0.002 * (n % 3))
        return n * n

    assert list(ordered_map(slow, range(20), workers)) == [n * n for n in range(20)]
    assert list(ordered_map(slow, [], workers)) == []


def test_workers_work_at_the_same_time_and_share_the_threads():
    meeting = threading.Barrier(3, timeout=20)

    def met(_: int) -> int:
        meeting.wait()
        return torch.get_num_threads()

    assert list(ordered_map(met, range(6), 3)) == [2] * 6


def test_items_are_taken_only_a_few_ahead():
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    results = ordered_map(lambda n: n, items(), 2)
    for returned in range(1, 50):
        next(results)
        assert len(taken) <= returned + 3
    results.close()
    assert len(taken) < 60


@pytest.mark.parametrize("workers", [1, 3])
def test_errors_of_function_and_items_surface(workers):
    def fail(n: int) -> int:
        if n == 4:
            raise KeyError("four")
        return n

    results = ordered_map(fail, range(10), workers)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(KeyError, match="four"):
        next(results)

    def broken():
        yield 0
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(ordered_map(fail, broken(), workers))


def test_workers_for_a_device():
    assert pick_workers(torch.device("cpu")) == MOST
    torch.set_num_threads(2)
    assert pick_workers(torch.device("cpu")) == 2
    torch.set_num_threads(6)
    assert pick_workers(torch.device("cuda")) == 1
