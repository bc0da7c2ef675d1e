"""Wall-clock time by stage of a pipeline; stages within stages are counted once."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

NETWORK, OTHER = "network", "plumbing"


class StageTimer:
    """`seconds` by part. What happens outside any part counts as `OTHER`, from the making of the timer on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {NETWORK: 0.0, OTHER: 0.0}
        self._parts = [OTHER]
        self._since = time.perf_counter()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Counts the time within as `name`'s, and no longer as that of the part around it."""
        self._settle()
        self._parts.append(name)
        try:
            yield
        finally:
            self._settle()
            self._parts.pop()

    def stream(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; the time to make each counts as `name`'s."""
        iterator = iter(items)
        while True:
            with self.part(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def read(self) -> dict[str, float]:
        """Seconds by part, up to now."""
        self._settle()
        return dict(self.seconds)

    def _settle(self) -> None:
        now = time.perf_counter()
        part = self._parts[-1]
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now
