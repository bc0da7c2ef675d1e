"""Work on a batch in as many parts as the memory asks for: when it runs out, the parts are halved, and it goes on."""

import logging
import sys
from collections.abc import Callable

import torch
from torch import Tensor

log = logging.getLogger(__name__)


class Frugal:
    """`function` of a batch [B, ...] -> [B, ...], computed in parts; what was too much once is not tried again.

    The log says so when parts get smaller. Raises what the function raises where a single item is too much.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function, self.most = function, sys.maxsize

    def __call__(self, batch: Tensor) -> Tensor:
        made: list[Tensor] = []
        while len(batch):
            part = batch[: self.most]
            try:
                made.append(self.function(part))
                batch = batch[len(part) :]
                continue
            except RuntimeError as error:
                if len(part) == 1 or not out_of_memory(error):
                    raise
            # Out here the failed attempt's tensors are no longer held by the exception.
            self.most = len(part) // 2
            log.warning("out of memory with %d frames at a time: going on with %d", len(part), self.most)
            torch.cuda.empty_cache()
        return torch.cat(made)


def out_of_memory(error: BaseException) -> bool:
    """Whether torch says that memory ran out, on a GPU or on the CPU (whose allocator has no error of its own)."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)
