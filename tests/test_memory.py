"""Batches in parts: halved when memory runs out, whoever says so, with the same result, and shared by threads."""

import threading

import pytest
import torch

from talkface_core import memory
from talkface_core.memory import AdaptiveBatch, count_as_out_of_memory, out_of_memory

TEXTS = (
    "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[enforce fail at alloc_cpu.cpp:80] . DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes.",
    "CUDA error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "MPS backend out of memory (MPS allocated: 8.10 GB, other allocations: 96.00 KB, max allowed: 9.07 GB).",
    "XPU out of memory. Tried to allocate 2.00 GiB",
    "Could not allocate tensor with 536870912 bytes. There is not enough GPU video memory available!",
    "Native API failed. Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)",
)


def scarce(most: int, error: BaseException, tried: list[int]):
    def double(*parts: torch.Tensor) -> torch.Tensor:
        tried.append(len(parts[0]))
        if len(parts[0]) > most:
            raise error
        return sum(parts) * 2

    return double


@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA"), MemoryError(), *map(RuntimeError, TEXTS)], ids=lambda e: str(e)[:40]
)
def test_parts_are_halved_until_they_fit(error, caplog):
    tried, x, y = [], torch.arange(13.0), torch.ones(13)
    batch = AdaptiveBatch(scarce(4, error, tried))
    assert torch.equal(batch(x, y), (x + 1) * 2)
    assert tried == [13, 6, 3, 3, 3, 3, 1]
    assert "out of memory with 13 frames at a time: going on with 6" in caplog.text
    tried.clear()
    assert torch.equal(batch(x), x * 2)
    assert tried == [3, 3, 3, 3, 1], "what was too much once is not tried again"


def test_a_single_item_that_is_too_much_is_told():
    tried = []
    with pytest.raises(torch.cuda.OutOfMemoryError):
        AdaptiveBatch(scarce(0, torch.cuda.OutOfMemoryError("CUDA"), tried))(torch.zeros(5))
    assert tried == [5, 2, 1]


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), KeyError()])
def test_other_errors_pass(error):
    tried = []
    with pytest.raises(type(error)):
        AdaptiveBatch(scarce(0, error, tried))(torch.zeros(5))
    assert tried == [5]


def test_a_hosts_own_error_counts_once_it_is_named(monkeypatch):
    class HostOutOfMemory(Exception):
        pass

    monkeypatch.setattr(memory, "_host_errors", set())
    tried = []
    with pytest.raises(HostOutOfMemory):
        AdaptiveBatch(scarce(2, HostOutOfMemory(), tried))(torch.zeros(4))
    count_as_out_of_memory(HostOutOfMemory)
    assert len(AdaptiveBatch(scarce(2, HostOutOfMemory(), tried))(torch.zeros(4))) == 4
    assert tried == [4, 4, 2, 2]
    # A host without an error of its own names the base of all: that tells nothing.
    count_as_out_of_memory(Exception)
    assert not out_of_memory(KeyError())


def test_threads_that_fail_together_halve_once():
    """Two that found eight too many, and then four, end at two and not lower."""
    meet, tried, lock = threading.Barrier(2), [], threading.Lock()

    def double(part: torch.Tensor) -> torch.Tensor:
        with lock:
            tried.append(len(part))
        if len(part) > 2:
            meet.wait(10)
            raise torch.cuda.OutOfMemoryError("CUDA")
        return part * 2

    batch, results = AdaptiveBatch(double), {}
    threads = [threading.Thread(target=lambda k=k: results.update({k: batch(torch.full((8,), k))})) for k in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert {k: result.tolist() for k, result in results.items()} == {k: [2 * k] * 8 for k in (1.0, 2.0)}
    assert sorted(tried, reverse=True) == [8, 8, 4, 4, *[2] * 8]
    assert batch.most == 2
