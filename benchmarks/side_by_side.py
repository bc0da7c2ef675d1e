"""A film's frames beside those that were made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkface_core.dubbing.chunks import gathered


def side_by_side(
    film: Iterator[NDArray[Any]], made: Iterator[NDArray[Any]], window: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Chunks [n,H,W,3] of a film and of what was made of it, frame for frame, up to `window` frames at a time.

    Each may come in chunks of any length: of large frames few are read at once. It ends where the shorter one does.
    """
    for pair in zip(gathered(film, window), gathered(made, window), strict=False):
        theirs, ours = map(np.concatenate, pair)
        count = min(len(theirs), len(ours))
        yield theirs[:count], ours[:count]
