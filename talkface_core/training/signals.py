"""Handles Ctrl-C and SIGTERM: a run stops after the step at hand."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopSignals:
    """While active, the first SIGINT or SIGTERM is remembered in `caught`; a second one interrupts at once.

    Outside the main thread, where Python allows no handlers, nothing is caught.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._catch) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.caught is not None:
            raise KeyboardInterrupt
        self.caught = number

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def leave(self, always: bool = False) -> None:
        """End the process as the caught signal would have; `always`: as SIGTERM would where none was caught."""
        if self.caught == signal.SIGINT:
            raise KeyboardInterrupt
        if self.caught is not None or always:
            raise SystemExit(128 + (self.caught or signal.SIGTERM))
