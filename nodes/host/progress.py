"""A node's progress bar with its preview, and the end of its work when the user cancels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sized
from contextlib import closing
from typing import Any, TypeVar

import comfy.model_management as mm
import comfy.utils
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...talkface_core.media.source import AudioSource
from ...talkface_core.pixels import to_bytes
from . import node_text

_PREVIEW = 512  # pixels

Chunk = TypeVar("Chunk", bound=Sized)
Frame = Tensor | NDArray[np.generic]


def check_interrupt() -> None:
    """Raises the host's exception if the user has pressed cancel."""
    mm.throw_exception_if_processing_interrupted()


class Progress:
    """The node's progress bar: `total` frames, with the newest frame as preview. Cancels what runs beside it."""

    def __init__(self, total: int) -> None:
        node_text.clear()
        self.total, self.done = total, 0
        self._bar = comfy.utils.ProgressBar(total)
        self._stopped = threading.Event()

    def callback(self, *_: Any) -> None:
        """For samplers, which may run in threads of their own: ends them as soon as the user cancels.

        The host forgets the wish to cancel once one thread has heard it, so it is only looked at here.
        """
        if self._stopped.is_set() or mm.processing_interrupted():
            raise mm.InterruptProcessingException()

    def reach(self, done: int, frame: Frame | None = None) -> None:
        """So many are done; `frame` [H, W, 3], uint8 or 0..1, is shown. Ends the work if the user cancels."""
        self._tell(done, frame)
        check_interrupt()

    def show(self, done: int, frame: Frame | None = None) -> None:
        """The same without an end: for work that looks itself whether the user cancels, and saves what it has done."""
        self._tell(done, frame)

    @property
    def cancelled(self) -> bool:
        """Whether the user wants the end; the wish stays until `check_interrupt` has heard it."""
        return mm.processing_interrupted()

    def _tell(self, done: int, frame: Frame | None) -> None:
        self.done = done
        preview = None if frame is None else ("JPEG", _picture(frame), _PREVIEW)
        self._bar.update_absolute(done, self.total, preview)

    def follow(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The same chunks; each moves the bar by its length, and frames [n, H, W, 3], uint8 or 0..1, are shown."""
        try:
            with closing(chunks):
                for chunk in chunks:
                    self._tell(self.done + len(chunk), chunk[-1] if getattr(chunk, "ndim", 0) == 4 else None)
                    yield chunk
                    check_interrupt()
        finally:
            self._stopped.set()


class Interruptible(AudioSource):
    """The same sound; reading it stops when the user cancels."""

    def __init__(self, source: AudioSource, check: Callable[[], None] = check_interrupt) -> None:
        self._source, self._check = source, check
        self.sample_rate, self.channels, self.layout = source.sample_rate, source.channels, source.layout
        self.name, self.path = source.name, source.path

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        for block in self._source.blocks(seconds):
            self._check()
            yield block

    def num_samples(self) -> int:
        return self._source.num_samples()


def _picture(frame: Frame) -> Image.Image:
    frame = frame if isinstance(frame, Tensor) else torch.from_numpy(np.ascontiguousarray(frame))
    return Image.fromarray(to_bytes(frame).cpu().numpy())
