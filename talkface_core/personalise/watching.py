"""Who is told how the work goes, and may end it: a terminal, or a node's progress bar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Stopped(Exception):
    """The one who watches asked for the end. What was done is kept: the same call goes on from there."""


class Watcher:
    """Watches without a word. A front end overrides what it has a use for."""

    def says(self, line: str) -> None:
        """A line for people."""

    def stage(self, name: str, about: str) -> None:
        """A stage of the work begins."""

    def advance(self, share: float) -> None:
        """This share (0 to 1) of the stage is done."""

    def picture(self, picture: NDArray[np.uint8]) -> None:
        """Something to look at, RGB uint8 [H,W,3]."""

    def stop(self) -> bool:
        """Whether to end now; asked again and again."""
        return False

    def check(self) -> None:
        """Raises Stopped where `stop` says so."""
        if self.stop():
            raise Stopped
