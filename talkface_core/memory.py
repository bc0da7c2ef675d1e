"""Adaptive batch size: when memory runs out, the batch is halved and the work goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol

import torch
from torch import Tensor

log = logging.getLogger(__name__)

# What allocators say that raise a plain RuntimeError: CPU (Linux, Windows), CUDA's libraries, MPS, XPU, DirectML.
_TEXTS = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "OUT_OF_DEVICE_MEMORY",
    "OUT_OF_HOST_MEMORY",
    "not enough GPU video memory",
)

_host_errors: set[type[BaseException]] = set()


class Batch(Protocol):
    """Items that can be counted and cut out: a tensor, an array, a motion."""

    def __len__(self) -> int: ...

    def __getitem__(self, items: slice, /) -> Any: ...


class AdaptiveBatch:
    """`function` of batches [B, ...] -> [B, ...], computed in parts; what was too much once is not tried again.

    Several threads may share one. The log says so when parts get smaller. Raises what the function raises where a
    single item is too much.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function, self.most = function, sys.maxsize
        self._lock = Lock()

    def __call__(self, *batches: Batch) -> Tensor:
        """The result for all items; the batches are of one length and are split alike."""
        outputs: list[Tensor] = []
        start, total = 0, len(batches[0])
        while start < total or not outputs:
            stop = min(total, start + self.most)
            try:
                outputs.append(self.function(*(batch[start:stop] for batch in batches)))
                start = stop
                continue
            except Exception as error:
                if stop - start <= 1 or not out_of_memory(error):
                    raise
            # Out here the failed attempt's tensors are no longer held by the exception.
            self._halve(stop - start)
            empty_caches()
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _halve(self, failed: int) -> None:
        with self._lock:
            # Another thread may have gone further down in the meantime.
            if failed // 2 >= self.most:
                return
            self.most = failed // 2
        log.warning("out of memory with %d frames at a time: going on with %d", failed, failed // 2)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on a GPU (CUDA, ROCm, MPS, XPU), or the CPU's."""
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError, *_host_errors)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def count_as_out_of_memory(kind: type[BaseException]) -> None:
    """Take a host's own error for one of memory as well. One that is not special, such as Exception, is passed over."""
    if kind not in (BaseException, Exception, RuntimeError):
        _host_errors.add(kind)


def empty_caches() -> None:
    """Give back what torch's allocators hold in reserve, on whatever there is."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        torch.xpu.empty_cache()
