"""Frames and sounds gathered into what nodes hand on, after a look at the memory that is free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import comfy.model_management as mm
import torch
from torch import Tensor

from ...talkface_core.errors import InputError
from ...talkface_core.media.source import AudioSource

_GIB = 2**30


def make_way() -> None:
    """Takes all networks off the GPU, for work that needs it whole."""
    mm.unload_all_models()
    mm.soft_empty_cache()


def gather(chunks: Iterator[Tensor], total: int) -> Tensor:
    """Chunks of frames 0..1 as one IMAGE [total, H, W, 3] on the host's intermediate device, filled as they come.

    Whether it fits into memory is `check_room`'s to tell, before anything is computed.
    Raises RuntimeError where the chunks hold more or fewer frames than `total`.
    """
    images: Tensor | None = None
    done = 0
    with closing(chunks):
        for chunk in chunks:
            if images is None:
                images = room(total, *chunk.shape[1:])
            images[done : done + len(chunk)] = chunk
            done += len(chunk)
    if images is None or done != total:
        raise RuntimeError(f"{done} of {total} frames were made")
    return images


STREAM = "use the node Talking Video, which writes frames to disk as they come, or a shorter duration"


def check_room(frames: int, height: int, width: int, instead: str = STREAM, *, channels: int = 3) -> None:
    """Raises InputError, naming the numbers, if an IMAGE of so many frames would not fit into free memory.

    `instead` says what to change; a MASK beside it is one more of the `channels`.
    """
    device, need = mm.intermediate_device(), 4.0 * frames * height * width * channels
    free = mm.get_free_memory(device)
    if need > 0.9 * free:
        raise InputError(
            f"{frames} frames of {width} x {height} need {need / _GIB:.1f} GiB as IMAGE and {free / _GIB:.1f} GiB are "
            f"free: {instead}"
        )


def gather_sound(source: AudioSource) -> Tensor:
    """A whole sound as a waveform [1, C, N].

    Raises InputError, naming the numbers, as soon as it is too long for free memory: a small file may hold a day.
    """
    free, blocks, gathered = mm.get_free_memory(torch.device("cpu")), [], 0
    for block in source.blocks():
        blocks.append(block)
        gathered += block.nbytes
        if 2 * gathered > 0.9 * free:  # once in pieces and once joined
            seconds = gathered / (4 * source.channels * source.sample_rate)
            raise InputError(
                f"the first {seconds:.0f} s of {source.name} need {2 * gathered / _GIB:.1f} GiB as AUDIO and "
                f"{free / _GIB:.1f} GiB are free: give a shorter duration"
            )
    return torch.cat(blocks, dim=1)[None]


def handed_on(values: Tensor, copy: bool = False) -> Tensor:
    """Frames or a mask as nodes hand them on: on the host's intermediate device, in its type."""
    return values.to(mm.intermediate_device(), _dtype(), copy=copy)


def _dtype() -> torch.dtype:
    """What the host keeps frames in between nodes; one that does not tell keeps float32."""
    return getattr(mm, "intermediate_dtype", lambda: torch.float32)()


def room(frames: int, *shape: int) -> Tensor:
    """Room for so many frames or masks [frames, ...], not filled, where and of the type that nodes hand them on."""
    return torch.empty((frames, *shape), dtype=_dtype(), device=mm.intermediate_device())
