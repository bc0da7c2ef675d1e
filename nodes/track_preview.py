"""What nodes show that make a face track: its landmarks on the footage's frames, or on black."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.faces.draw import draw_track
from ..talkface_core.faces.track import FaceTrack
from . import host
from .sockets import advanced

_BLANK = 512  # pixels of the longer side of frames where there are none to draw on
_AT_ONCE = 32


def preview_input() -> io.Input:
    """How many frames are drawn."""
    return advanced(
        io.Int.Input(
            "preview_every",
            default=1,
            min=1,
            max=1000,
            tooltip="Draws the preview on every n-th frame. Each drawn frame is a copy in memory.",
        )
    )


def drawn_on_input() -> io.Input:
    """What they are drawn on."""
    return io.Image.Input(
        "images",
        optional=True,
        tooltip="The frames that the face was tracked in, for the preview alone. Without them it is drawn on black.",
    )


@dataclass(frozen=True)
class TrackPreview:
    """Every n-th frame of a track of frames of a size (height, width), which are `frames` [N,H,W,3] in an order [T], or
    black where they are None. Raises InputError where it would not fit into memory: before the track is made."""

    frames: Tensor | None
    size: tuple[int, int]
    order: Tensor
    every: int

    def __post_init__(self) -> None:
        count = len(self.order[:: self.every])
        host.check_room(count, *self._size, "raise preview_every, or give a shorter sound")

    @property
    def _factor(self) -> float:
        return 1.0 if self.frames is not None else min(_BLANK / max(self.size), 1.0)

    @property
    def _size(self) -> tuple[int, int]:
        height, width = (max(round(side * self._factor), 1) for side in self.size)
        return height, width

    def draw(self, track: FaceTrack) -> Tensor:
        """The preview as an IMAGE, of the track [T]."""
        shown = list(range(0, len(self.order), self.every))
        drawn = track.at(shown)
        drawn = replace(drawn, landmarks=drawn.landmarks * self._factor, size=self._size)
        return host.gather(self._chunks(self.order[shown].tolist(), drawn), len(shown))

    def _chunks(self, order: list[int], track: FaceTrack) -> Iterator[Tensor]:
        for first in range(0, len(order), _AT_ONCE):
            now = order[first : first + _AT_ONCE]
            own = torch.zeros(len(now), *track.size, 3) if self.frames is None else self.frames[now].float()
            yield draw_track(own, track.part(first, first + len(now)))
