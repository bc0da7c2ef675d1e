"""Face alignment: the similarity transform from a frame to a square crop of the face, and the way back.

One similarity transform per frame, fitted on the `STABLE`
points that neither speech nor a blink moves: the corners of the eyes, the ridge and the base of the nose. So the crop
does not jump with the mouth. The same constants hold in training and in inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .geometry import fit_similarity, transform
from .landmarks import POINTS, STABLE
from .track import FaceTrack

Frames = TypeVar("Frames", Tensor, NDArray[np.generic])

MARGIN = 0.54
"""Height from the mean face's eyes to its chin, by the crop's side: the one constant that says how tight a crop is."""

EYE_LEVEL = 0.365
"""Height of the eyes in the crop, by its side. With `MARGIN` the mean face's chin lies at 0.905, its mouth at 0.70."""

_REACH = 3  # pixels around a crop that are looked at: bicubic interpolation takes two on each side

# The mean of 150 rendered people, seen from the front, mouth shut, mirrored halves averaged: x from the middle, y from
# the eyes down, in heights from the eyes to the chin. Rows are `STABLE`.
_MEAN = (
    *((0.0, -0.0442), (0.0, 0.0573), (0.0, 0.1538), (0.0, 0.2718)),
    *((-0.1215, 0.4109), (-0.0580, 0.4153), (0.0, 0.4247), (0.0580, 0.4153), (0.1215, 0.4109)),
    *((-0.4035, 0.0013), (-0.1664, 0.0138), (0.1664, 0.0138), (0.4035, 0.0013)),
)


@dataclass(frozen=True)
class Framing:
    """How large the mean face is in a crop and how high it lies, by the crop's side: height from its eyes to its chin,
    and the eyes' level. Other than the pack's own for networks that learned on other crops."""

    height: float = MARGIN
    eyes: float = EYE_LEVEL


def template(framing: Framing | None = None) -> Tensor:
    """Where the `STABLE` points of the mean face lie in a crop: [13,2] float64, shares of the crop's side."""
    framing = framing or Framing()
    middle = torch.tensor([0.5, framing.eyes], dtype=torch.float64)
    return torch.tensor(_MEAN, dtype=torch.float64) * framing.height + middle


@dataclass(frozen=True)
class FaceCrop:
    """Where the crops of T frames lie, enough to cut them out and to paste them back.

    matrices [T,2,3] float32: frame pixels -> crop pixels, similarities; size: side of the square crop in pixels;
    image_size (height, width) of the frames; landmarks [T,68,2] float32 in crop pixels; framing: the mean face in it.
    """

    matrices: Tensor
    size: int
    image_size: tuple[int, int]
    landmarks: Tensor
    framing: Framing = Framing()

    def __post_init__(self) -> None:
        if self.matrices.ndim != 3 or self.matrices.shape[1:] != (2, 3):
            raise InputError(f"matrices of shape {list(self.matrices.shape)}; a face crop holds [frames, 2, 3].")
        if self.landmarks.shape != (len(self.matrices), POINTS, 2):
            raise InputError(f"landmarks of shape {list(self.landmarks.shape)} for {len(self.matrices)} matrices.")

    def __len__(self) -> int:
        return len(self.matrices)

    def part(self, start: int, stop: int) -> FaceCrop:
        """The frames start to stop - 1."""
        return replace(self, matrices=self.matrices[start:stop], landmarks=self.landmarks[start:stop])

    def at(self, frames: Tensor | Sequence[int]) -> FaceCrop:
        """The crops of these frames, in this order."""
        index = torch.as_tensor(frames, dtype=torch.long)
        return replace(self, matrices=self.matrices[index], landmarks=self.landmarks[index])

    def resized(self, size: int) -> FaceCrop:
        """The same squares of the frames at another number of pixels."""
        factor = size / self.size
        return replace(self, matrices=self.matrices * factor, size=size, landmarks=self.landmarks * factor)

    def scales(self) -> Tensor:
        """Crop pixels per frame pixel [T]: below 1 the crop shrinks the face."""
        return self.matrices[:, :, 0].norm(dim=1)

    def inverse(self) -> Tensor:
        """[T,2,3] float32: crop pixels -> frame pixels."""
        linear, shift = self.matrices[:, :, :2].double(), self.matrices[:, :, 2:].double()
        back = torch.linalg.inv(linear)
        return torch.cat([back, -back @ shift], 2).float()


def align(track: FaceTrack, size: int, framing: Framing | None = None) -> FaceCrop:
    """The crops of a track, `size` pixels square. Raises InputError for a size below 8 and points that coincide."""
    if size < 8:
        raise InputError(f"crop size {size} px; give 8 or more, as the model that works on it was trained with.")
    points = track.landmarks.double()
    framing = framing or Framing()
    matrices = fit_similarity(points[:, list(STABLE)], size * template(framing))
    moved = transform(matrices, points)
    return FaceCrop(matrices.float(), int(size), track.size, moved.float(), framing)


def crop_faces(frames: Frames, crop: FaceCrop) -> Frames:
    """Cut the crops [T,S,S,3] out of frames [T,H,W,3], uint8 or floating 0..1, of the same dtype and kind.

    Shrinking averages over the pixels that fall into one (no aliasing); enlarging is bicubic. What lies outside of the
    frame repeats its edge. Raises InputError when the frames are not those of the crop.
    """
    check_shape(frames, crop.image_size, len(crop))
    matrices = crop.matrices.numpy()
    crops = [crop_face(picture, matrix, crop.size) for picture, matrix in zip(frames, matrices, strict=True)]
    return like(np.stack(crops) if crops else np.zeros((0, crop.size, crop.size, 3), np.uint8), frames)


def crop_face(picture: Tensor | NDArray[np.generic], matrix: NDArray[np.floating], size: int) -> NDArray[np.generic]:
    """One crop [size,size,3] of a picture [H,W,3], uint8 or float32. See `crop_faces`."""
    return warp(*piece(picture, matrix, size), size)


def piece(
    picture: Tensor | NDArray[np.generic], matrix: NDArray[np.floating], size: int
) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    """The part of a picture [H,W,3] that a crop of `size` px looks at, uint8 or float32, and the matrix from there.

    A picture is often many times as large as the face in it, and may lie on another device or in another type.
    """
    own = np.array(matrix, np.float64)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    there = np.linalg.solve(own[:, :2], (corners - own[:, 2]).T).T
    # At least one pixel: a crop that lies outside of the picture repeats its edge.
    last = np.array(picture.shape[1::-1]) - 1
    low = np.clip(np.floor(there.min(0)).astype(int) - _REACH, 0, last)
    high = np.clip(np.ceil(there.max(0)).astype(int) + _REACH, low + 1, last + 1)
    own[:, 2] += own[:, :2] @ low
    return as_array(picture[low[1] : high[1], low[0] : high[0]]), own


def warp(picture: NDArray[np.generic], matrix: NDArray[np.floating], size: int) -> NDArray[np.generic]:
    """A picture [H,W,3] (uint8 or float32) through one matrix [2,3] -> [size,size,3]. See `crop_faces`."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # A finer grid that is averaged afterwards: each crop pixel then looks at all frame pixels that fall into it.
    fine = int(np.ceil(1 / scale - 0.1)) if scale < 1 else 1
    moved = cv2.warpAffine(
        picture,
        pixel_matrix(matrix * fine),
        (size * fine, size * fine),
        # What is averaged over needs no finer kernel, and this one is several times as fast.
        flags=cv2.INTER_CUBIC if fine == 1 else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    moved = cv2.resize(moved, (size, size), interpolation=cv2.INTER_AREA) if fine > 1 else moved
    return moved.clip(0, 1) if moved.dtype == np.float32 else moved


def pixel_matrix(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """A matrix of our coordinates (the first pixel's centre is 0.5) as OpenCV counts (it is 0)."""
    moved = np.array(matrix, np.float64)
    moved[:, 2] += 0.5 * moved[:, :2].sum(1) - 0.5
    return moved


def check_shape(frames: Tensor | NDArray[np.generic], size: tuple[int, int], count: int) -> None:
    """Raises InputError for frames that are not [count, *size, 3]."""
    shape = tuple(frames.shape)
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(f"frames of shape {list(shape)}; give RGB frames [frames, height, width, 3].")
    if shape[0] != count or shape[1:3] != tuple(size):
        raise InputError(
            f"{shape[0]} frames of {shape[2]}x{shape[1]} px, but the face was tracked in {count} of {size[1]}x{size[0]}"
            "; give the frames that the face was found in."
        )


def as_frames(frames: Tensor | NDArray[np.generic], size: tuple[int, int], count: int) -> NDArray[np.generic]:
    """Frames as numpy [T,H,W,3], uint8 or float32. Raises InputError for another shape, count, size or dtype."""
    check_shape(frames, size, count)
    return as_array(frames)


def as_array(frames: Tensor | NDArray[np.generic]) -> NDArray[np.generic]:
    """Pictures as numpy, uint8 or float32. Raises InputError for another dtype."""
    array = frames.detach().cpu() if isinstance(frames, Tensor) else np.asarray(frames)
    if isinstance(array, Tensor):
        array = (array.float() if array.is_floating_point() else array).numpy()
    if array.dtype.kind == "f":
        return array.astype(np.float32, copy=False)
    if array.dtype != np.uint8:
        raise InputError(f"frames of {array.dtype}; give uint8, or floating point between 0 and 1.")
    return array


def like(array: NDArray[np.generic], frames: Frames) -> Frames:
    """`array` as the kind, dtype and device of `frames`."""
    if isinstance(frames, Tensor):
        return torch.from_numpy(array).to(frames.device, frames.dtype)
    return array.astype(frames.dtype, copy=False)
