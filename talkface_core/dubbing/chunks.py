"""Frames of a film on their way through a painter: gathered into windows, their faces cut out, painted, pasted back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..faces.align import FaceCrop, Framing, crop_face
from ..faces.paste import frame_mask, mouth_mask, paste_into
from ..memory import AdaptiveBatch
from ..pixels import to_unit
from .light import Light
from .model import MouthPainter


@dataclass(frozen=True)
class Chunk:
    """Frames [n,H,W,3], its own; the rows that show the face, their numbers in the result, and its places."""

    frames: NDArray[np.generic]
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    place: FaceCrop

    @cached_property
    def faces(self) -> NDArray[np.generic]:
        """The aligned faces as they were read [k,S,S,3]."""
        size, matrices = self.place.size, self.place.matrices.numpy()
        return np.stack([crop_face(self.frames[row], one, size) for row, one in zip(self.rows, matrices, strict=True)])

    def pasted(self, painted: Tensor | None) -> NDArray[np.generic]:
        """The frames, which now have new faces [k,3 or 4,S,S]; None where no frame shows one."""
        if painted is not None:
            faces = rearrange(painted[:, :3], "k c h w -> k h w c").contiguous()
            paste_into([self.frames[row] for row in self.rows], faces, self.place, cut=self.faces)
        return self.frames

    def paint(self, painted: Tensor | None) -> NDArray[np.float32]:
        """How far the pixels of the frames are paint [n,H,W], where such faces are pasted."""
        paint = np.zeros(self.frames.shape[:3], np.float32)
        if painted is not None:
            place = self.place.resized(painted.shape[-1])
            area = mouth_mask(place)
            paint[self.rows] = frame_mask(place, area * painted[:, 3] if painted.shape[1] > 3 else area)
        return paint


def paint_chunks(paint: AdaptiveBatch, chunks: list[Chunk], device: torch.device) -> list[Tensor | None]:
    """What the painter made of each chunk, float32 [k,3 or 4,S,S] in main memory; None where it shows no face."""
    showing = [chunk for chunk in chunks if len(chunk.rows)]
    if not showing:
        return [None] * len(chunks)
    cut = torch.from_numpy(np.concatenate([chunk.faces for chunk in showing])).to(device)
    numbers = torch.from_numpy(np.concatenate([chunk.numbers for chunk in showing]))
    faces = paint(to_unit(rearrange(cut, "n h w c -> n c h w")), numbers)
    parts = iter(faces.float().cpu().split([len(chunk.rows) for chunk in showing]))
    return [next(parts) if len(chunk.rows) else None for chunk in chunks]


def in_ordinary_light(painter: MouthPainter, framing: Framing) -> Callable[[Tensor, Tensor], Tensor]:
    """What paints faces [n,3,S,S] of frames [n] as if their light were even, and gives them back the light they had."""

    def paint(faces: Tensor, frames: Tensor) -> Tensor:
        light = Light.of(faces, framing)
        painted = painter.paint(light.evened(faces), frames)
        return torch.cat([light.given_back(painted[:, :3]), painted[:, 3:]], 1)

    return paint


def gathered(chunks: Iterator[NDArray[np.generic]], window: int) -> Iterator[list[NDArray[np.generic]]]:
    """Chunks of frames, as many as make a window together: of large frames only a few are read at once."""
    buffer: list[NDArray[np.generic]] = []
    for chunk in chunks:
        while len(chunk):
            part = chunk[: window - sum(map(len, buffer))]
            buffer.append(part)
            chunk = chunk[len(part) :]
            if sum(map(len, buffer)) == window:
                yield buffer
                buffer = []
    if buffer:
        yield buffer
