"""Pixels in their three ranges: bytes 0..255, the unit range 0..1 and the networks' -1..1, with one rounding rule.

All but the last works element by element, on any layout, on tensors (which stay on their device) and on arrays alike.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .errors import InputError

Pixels = TypeVar("Pixels", Tensor, NDArray[np.generic])


def to_unit(pixels: Pixels) -> Pixels:
    """Bytes, or floats that are 0..1 already, as float32 in 0..1."""
    if isinstance(pixels, Tensor):
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
    return pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels.astype(np.float32, copy=False)


def as_unit_tensor(pixels: Tensor | NDArray[np.generic]) -> Tensor:
    """`to_unit` as a tensor; an array's lies in main memory."""
    if isinstance(pixels, np.ndarray):
        # torch has no read-only tensors; caches of frames are mapped read-only.
        pixels = torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())
    return to_unit(pixels)


def to_signed(pixels: Pixels) -> Pixels:
    """Bytes, or floats in 0..1, as float32 in -1..1."""
    if pixels.dtype in (torch.uint8, np.uint8):
        return (pixels.float() if isinstance(pixels, Tensor) else pixels.astype(np.float32)) / 127.5 - 1
    return to_unit(pixels) * 2 - 1


def signed_to_unit(pixels: Pixels) -> Pixels:
    """Floats in -1..1 as float32 in 0..1; what lies outside is clipped."""
    if isinstance(pixels, Tensor):
        return pixels.float().mul(0.5).add_(0.5).clamp_(0, 1)
    return (pixels.astype(np.float32) * 0.5 + 0.5).clip(0, 1)


def to_bytes(pixels: Pixels) -> Pixels:
    """Floats in 0..1 as uint8, rounded to the nearest of 256 levels (halves upwards) and clipped; uint8 as it is."""
    if isinstance(pixels, Tensor):
        if pixels.dtype == torch.uint8:
            return pixels
        return pixels.float().mul(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
    return pixels if pixels.dtype == np.uint8 else (pixels * np.float32(255) + 0.5).clip(0, 255).astype(np.uint8)


def as_byte_array(frames: Tensor | NDArray[np.generic]) -> NDArray[np.uint8]:
    """`to_bytes` as an array in main memory, for what leaves the library.

    Raises InputError for types that are neither uint8 nor floating, NaN and infinite values.
    """
    frames = torch.as_tensor(frames).detach().cpu()
    if frames.dtype == torch.uint8:
        return frames.numpy()
    if not frames.dtype.is_floating_point:
        raise InputError(f"frames of type {frames.dtype}; give uint8 or float in 0..1")
    frames = frames.float()
    if not torch.isfinite(frames.sum()):
        raise InputError("frames hold NaN or infinite values; the model that drew them ran out of its number range")
    return to_bytes(frames).numpy()


def resized_pictures(pictures: Tensor, size: int) -> Tensor:
    """Square pictures [...,C,H,H] at another size, [...,C,size,size]; shrinking averages over what falls into a
    pixel."""
    if pictures.shape[-1] == size:
        return pictures
    # In float32: torch's CPU has no other kernel that averages.
    flat = pictures.reshape(-1, *pictures.shape[-3:]).float()
    small = F.interpolate(flat, (size, size), mode="bilinear", align_corners=False, antialias=True).to(pictures)
    return small.reshape(*pictures.shape[:-2], size, size)
