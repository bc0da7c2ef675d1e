"""Pastes a face back into its frame: a feathered mask over mouth and jaw, colour matched, all else bit for bit.

A crop is often smaller than the face in the frame. So that what was not changed does not get soft, the detail that the
crop could not hold is given back wherever the face that is pasted equals the one that was cut out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..pixels import to_bytes, to_unit
from .align import MARGIN, FaceCrop, as_array, as_frames, check_shape, crop_face, pixel_matrix
from .landmarks import JAW, LIP_CENTRES, NOSE_BASE, NOSE_BASE_CENTRE, OUTER_LIPS

Frames = TypeVar("Frames", Tensor, NDArray[np.generic])

FEATHER = 0.06
"""Width of the mask's soft edge, by the side of a crop of the pack's own framing."""

_GROW = 1.08  # the mask reaches beyond the jaw, since a mouth that opens wider lowers the chin
_BELOW = 0.7  # of its soft edge, so far it lies below the chin: else the film's chin shows below one that rises
_SAME = 3 / 255  # difference below which a pixel counts as unchanged
_OUTLIER = 0.06  # difference in the band that no light explains
_STIFF = 0.05  # ridge weight: keeps the slope of the colour low where the band has little texture


def mouth_mask(crop: FaceCrop, feather: float | None = None) -> Tensor:
    """Where a new mouth goes, float32 [T,S,S] in 0..1: from the nose's base to below the chin, zero at the crop's edge.

    The edge rises from 0 to 1 over `feather` times the crop's side, inwards, so nothing lies outside of the outline;
    None: `FEATHER`, less in a crop in which faces are smaller.
    """
    feather = FEATHER * crop.framing.height / MARGIN if feather is None else feather
    if not 0 < feather < 0.25:
        raise InputError(f"feather {feather}; give a share of the crop between 0 and 0.25, usually {FEATHER}.")
    masks = [_mask(points, crop.size, feather) for points in crop.landmarks.numpy()]
    return torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, crop.size, crop.size)


def _mask(points: NDArray[np.float32], size: int, feather: float) -> NDArray[np.float32]:
    import cv2

    jaw, nose, lips = points[JAW][2:-2], points[NOSE_BASE], points[OUTER_LIPS]
    middle = lips.mean(0)
    away = jaw - middle
    far = np.linalg.norm(away, axis=1, keepdims=True) + 1e-6
    below = np.square((away[:, 1:] / far).clip(0, 1))
    outline = middle + away * (_GROW + below * _BELOW * feather * size / far)
    # The upper edge runs below the nostrils and rises to the cheeks.
    upper = nose[::-1] + 0.15 * (points[LIP_CENTRES[0]] - points[NOSE_BASE_CENTRE])
    area = np.zeros((size, size), np.uint8)
    around = cv2.convexHull(np.concatenate([outline[1:-1], upper, lips]).astype(np.float32))
    cv2.fillPoly(area, [np.round(around * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    area[[0, -1]] = 0
    area[:, [0, -1]] = 0
    depth = cv2.distanceTransform(area, cv2.DIST_L2, 5)
    rise = np.clip(depth / (feather * size), 0, 1)
    return (rise * rise * (3 - 2 * rise)).astype(np.float32)


def paste_faces(
    frames: Frames,
    faces: Tensor | NDArray[np.generic],
    crop: FaceCrop,
    mask: Tensor | None = None,
    match_colour: bool = True,
) -> Frames:
    """New faces [T,S',S',3] of any size laid into frames [T,H,W,3] where `crop` was cut out; kind and dtype of frames.

    `mask` [T,S,S] or [S,S] in 0..1 in the crop, of any size; None: `mouth_mask`. `match_colour` shifts the face's
    colours, by a slope over the crop, to those of the frame in a band around the mask. Where the mask is 0 every pixel
    is the frame's, bit for bit. Raises InputError for frames, faces or masks that do not fit the crop.
    """
    check_shape(frames, crop.image_size, len(crop))
    out = frames.detach().clone() if isinstance(frames, Tensor) else np.array(frames)
    paste_into(list(out), faces, crop, mask, match_colour)
    return out


def paste_into(
    frames: Sequence[Tensor | NDArray[np.generic]],
    faces: Tensor | NDArray[np.generic],
    crop: FaceCrop,
    mask: Tensor | None = None,
    match_colour: bool = True,
    within: Tensor | None = None,
    cut: NDArray[Any] | None = None,
) -> None:
    """`paste_faces` in place: writes new faces into pictures [H,W,3], each uint8 or floating 0..1, tensors or arrays.

    Nothing but the part of each that its mask reaches is read or written. `within` [H,W] or [T,H,W] in 0..1, in the
    frames, holds the change to where it is above zero. `cut` [T,S,S,3] are the faces as `crop` cuts them out, where
    that has been done already.
    """
    side = int(faces.shape[1])
    patches = as_frames(faces, (side, side), len(crop))
    masks = _masks(mask, crop, side)
    place = crop.resized(side)
    held = [within] * len(frames) if within is None or within.ndim == 2 else list(within)
    known: list[NDArray[Any] | None] = [None] * len(frames) if cut is None or side != crop.size else list(cut)
    parts = zip(frames, patches, masks, place.matrices.numpy(), held, known, strict=True)
    for frame, face, weight, matrix, area, own in parts:
        _paste(frame, to_unit(face), weight, matrix, match_colour, area, own)


def frame_mask(crop: FaceCrop, mask: Tensor | None = None) -> Tensor:
    """The mask of `paste_faces` as it lies in the frames: float32 [T,H,W]."""
    masks, (height, width) = _masks(mask, crop, crop.size), crop.image_size
    out = np.zeros((len(crop), height, width), np.float32)
    for area, weight, matrix in zip(out, masks, crop.matrices.numpy(), strict=True):
        region = _region(matrix, weight, (height, width))
        if region is not None:
            area[region] = _back(weight, matrix, region, linear=True)
    return torch.from_numpy(out)


def _masks(mask: Tensor | None, crop: FaceCrop, side: int) -> NDArray[np.float32]:
    import cv2

    given = mouth_mask(crop) if mask is None else torch.as_tensor(mask).detach().cpu().float()
    given = given.expand(len(crop), -1, -1) if given.ndim == 2 else given
    if given.ndim != 3 or len(given) != len(crop) or given.shape[1] != given.shape[2]:
        raise InputError(
            f"a mask of shape {list(given.shape)} for {len(crop)} crops; give [{len(crop)}, side, side] in the crop."
        )
    array = given.clamp(0, 1).numpy()
    if array.shape[1] == side:
        return array
    kernel = cv2.INTER_AREA if side < array.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(one, (side, side), interpolation=kernel) for one in array])


def _paste(
    frame: Tensor | NDArray[np.generic],
    face: NDArray[np.float32],
    mask: NDArray[np.float32],
    matrix: NDArray[np.float32],
    match_colour: bool,
    within: Tensor | None,
    cut: NDArray[Any] | None,
) -> None:
    """One face into one frame [H,W,3] (uint8 or floating), in place. `cut`: the frame's own, None: not known yet."""
    import cv2

    region = _region(matrix, mask, tuple(frame.shape[:2]))
    if region is None:
        return
    weight = _back(mask, matrix, region, linear=True)
    if within is not None:
        weight = weight * within[region].float().clamp(0, 1).cpu().numpy()
    old: NDArray[Any] = as_array(frame[region])
    part = to_unit(old)
    before: NDArray[np.float32] = to_unit(crop_face(frame, matrix, len(face)) if cut is None else cut)
    if match_colour:
        face = face + colour_shift(before, face, mask)
    change = cv2.GaussianBlur(_largest(np.abs(face - before)), (0, 0), max(0.01 * len(face), 0.5))
    kept = np.exp(-np.square(change / _SAME))
    new = _back(face, matrix, region)
    new += (part - _back(before, matrix, region)) * _back(kept, matrix, region, linear=True)[..., None]
    # In place, since of a large face these are many pixels: part + weight (new - part).
    mixed = np.clip(new, 0, 1, out=new)
    mixed -= part
    mixed *= weight[..., None]
    mixed += part
    pixels: NDArray[Any] = to_bytes(mixed) if old.dtype == np.uint8 else mixed
    inside = weight[..., None] > 0
    if isinstance(frame, Tensor):
        written = np.where(inside, pixels, old)
        frame[region] = torch.from_numpy(written).to(frame.device, frame.dtype)
    else:
        np.copyto(frame[region], pixels, "same_kind", inside)


def _largest(picture: NDArray[np.floating]) -> NDArray[np.floating]:
    """The largest of three values [...,3]; numpy's own reduction of so short an axis takes many times as long."""
    return np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])


def colour_shift(
    before: NDArray[np.float32], face: NDArray[np.float32], mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What to add to a face [S,S,3] so that it has the colours of `before` in a band around the mask's edge [S,S,3].

    A plane over the crop per channel, by weighted least squares; pixels that differ by more than light does count
    little.
    """
    import cv2

    size = len(face)
    reach = max(round(0.06 * size), 1)
    around = cv2.dilate((mask > 0).astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    band = around & (mask < 0.7)
    if band.sum() < 16:
        return np.zeros_like(face)
    rows, columns = np.nonzero(band)
    away = (before - face)[rows, columns].astype(np.float64)
    plane = np.column_stack([np.ones(len(rows)), columns / size - 0.5, rows / size - 0.5])
    weights, shift = np.ones(len(rows)), np.zeros((3, 3))
    for turn in range(3):
        if turn:
            weights = 1 / (1 + np.square(_largest(np.abs(away - plane @ shift)) / _OUTLIER))
        scaled = plane * weights[:, None]
        normal = scaled.T @ plane + np.diag([0, 1, 1]) * _STIFF * weights.sum()
        shift = np.linalg.solve(normal, scaled.T @ away)
    at = np.arange(size)[:, None] / size - 0.5
    # A row and a column, which are added up to the plane.
    return (shift[0] + at * shift[1] + (at * shift[2])[:, None]).astype(np.float32)


def _region(
    matrix: NDArray[np.floating], mask: NDArray[np.float32], size: tuple[int, ...]
) -> tuple[slice, slice] | None:
    """The frame's rows and columns that a mask in the crop reaches, or None when that is nowhere."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    # Half a pixel around the outermost centres: so far does a linear enlargement carry them.
    y0, y1, x0, x1 = rows[0] - 0.5, rows[-1] + 1.5, columns[0] - 0.5, columns[-1] + 1.5
    corners = np.array([[x0, y0], [x1, y0], [x0, y1], [x1, y1]], np.float64)
    there = np.linalg.solve(matrix[:, :2].astype(np.float64), (corners - matrix[:, 2]).T).T
    low = np.maximum(np.floor(there.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(there.max(0)).astype(int) + 1, size[1::-1])
    if (high - low < 1).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _back(
    picture: NDArray[np.float32], matrix: NDArray[np.floating], region: tuple[slice, slice], linear: bool = False
) -> NDArray[np.float32]:
    """A picture in the crop [S,S] or [S,S,3] as it lies in a part of the frame; a linear one is 0 outside the crop."""
    import cv2

    matrix = np.array(matrix, np.float64)
    shrink = int(np.hypot(matrix[0, 0], matrix[1, 0]) + 0.1)
    if shrink > 1:
        fewer = max(len(picture) // shrink, 1)
        matrix *= fewer / len(picture)
        picture = cv2.resize(picture, (fewer, fewer), interpolation=cv2.INTER_AREA)
    matrix[:, 2] += matrix[:, :2] @ (region[1].start, region[0].start)
    size = (region[1].stop - region[1].start, region[0].stop - region[0].start)
    kernel, border = (cv2.INTER_LINEAR, cv2.BORDER_CONSTANT) if linear else (cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    return cv2.warpAffine(picture, pixel_matrix(matrix), size, flags=kernel | cv2.WARP_INVERSE_MAP, borderMode=border)
