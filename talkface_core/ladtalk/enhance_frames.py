"""Frames as they come, bytes or floats, arrays or tensors, on their way into the SOVQAE's size and back (LaDTalk)."""

from __future__ import annotations

import logging
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.masks import fit_mask
from ..pixels import as_unit_tensor, to_bytes
from .sovqae import SOVQAE

log = logging.getLogger(__name__)

Frames = TypeVar("Frames", Tensor, NDArray[np.generic])

_EDGE = 0.08  # width of the face region's soft edge, by the crop's side


def sized_for(pictures: Tensor, model: SOVQAE) -> Tensor:
    """[T,3,H,W] with the shorter side of the model's size, both sides multiples of its factor."""
    height, width = pictures.shape[-2:]
    size, factor = model.config.image_size, model.config.factor
    scale = size / min(height, width)
    goal = tuple(max(factor, round(side * scale / factor) * factor) for side in (height, width))
    return pictures if goal == (height, width) else resized(pictures, goal)


def resized(pictures: Tensor, size: tuple[int, ...]) -> Tensor:
    """Pictures [T,3,H,W] in 0..1 of another size, smoothed where they shrink."""
    return F.interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


def brought_back(frames: Frames, inputs: Tensor, outputs: Tensor) -> Frames:
    """The change at the frames' own size: what is finer than the model sees stays."""
    whole = as_unit_tensor(frames)
    change = rearrange((outputs - inputs).to(whole.device), "t h w c -> t c h w")
    if change.shape[-2:] != whole.shape[1:3]:
        change = F.interpolate(change, tuple(whole.shape[1:3]), mode="bicubic", align_corners=False, antialias=True)
    return as_given(frames, (whole + rearrange(change, "t c h w -> t h w c")).clamp(0, 1))


def face_mask(size: int) -> Tensor:
    """The whole crop with a soft edge, float32 [size, size] in 0..1."""
    place = torch.arange(size, dtype=torch.float32) + 0.5
    rise = (torch.minimum(place, size - place) / (_EDGE * size)).clamp(0, 1)
    rise = rise * rise * (3 - 2 * rise)
    return rise[:, None] * rise[None]


def masked(frames: Frames, done: Frames, mask: Tensor) -> Frames:
    """`done` where a mask [H,W] or [T,H,W] is 1, `frames` where it is 0, to the last bit."""
    weight = mask.float().cpu()[..., None]
    old, new = as_unit_tensor(frames).cpu(), as_unit_tensor(done).cpu()
    mixed = as_given(frames, torch.lerp(old, new, weight.clamp(0, 1)))
    untouched = (weight <= 0).expand(old.shape)
    if isinstance(frames, Tensor):
        return torch.where(untouched.to(frames.device), frames, mixed)
    return np.where(untouched.numpy(), frames, mixed)


def as_given(frames: Frames, pictures: Tensor) -> Frames:
    """float32 0..1 pictures as the kind, dtype and device of `frames`."""
    if isinstance(frames, Tensor):
        byte = frames.dtype == torch.uint8
        return (to_bytes(pictures) if byte else pictures).to(frames.device, frames.dtype)
    byte = frames.dtype == np.uint8
    return (to_bytes(pictures) if byte else pictures).cpu().numpy().astype(frames.dtype)


def mask_for(mask: Tensor | None, frames: Tensor | NDArray[np.generic]) -> Tensor | None:
    """The mask in the frames' size, one for all or one for each. Says so when it marks nothing."""
    if mask is None:
        return None
    check_count(mask, len(frames))
    fitted = fit_mask(mask, (int(frames.shape[1]), int(frames.shape[2])))
    if not (fitted > 0).any():
        log.warning("the mask is black everywhere: nothing is restored")
    return fitted[0] if fitted.ndim == 3 and len(fitted) == 1 else fitted


def check_count(mask: Tensor | None, count: int) -> None:
    """Raises InputError for masks that are neither one nor one for each frame."""
    if mask is not None and mask.ndim == 3 and len(mask) not in (1, count):
        raise InputError(f"{len(mask)} masks for {count} frames; give one for all, or one for each frame.")
