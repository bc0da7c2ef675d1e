"""What shows Wav2Lip the person: the frame with a shut mouth from another moment (ours; published: the frame itself).

The frame itself also tells what its mouth said before, and of an open one traces stay. A shut mouth in like pose tells
only what the lips look like, and all around it is the frame's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ..faces.align import FaceCrop, crop_faces
from ..faces.landmarks import NOSE_BASE, OUTER_LIPS, UPPER_FACE, inner_lip_gap

SHUT = 0.08
"""Share of a scene's frames that count as its shut mouths."""

MOST = 12
"""References of a scene, as different in pose as can be."""

FAR = 0.08
"""Mean distance of the `UPPER_FACE` points, by the crop's side, from which on a reference does not fit any more."""

_REACH = 0.04  # how far beyond the lips their surroundings come along, by the crop's side


def choose_references(crop: FaceCrop, usable: NDArray[np.bool_], scenes: Iterable[slice]) -> NDArray[np.int64]:
    """For each frame [T] the one that is shown beside it; itself where no other fits, or it is not `usable` [T].

    References are taken within a scene alone: another has other light, or another person.
    """
    points = crop.landmarks.numpy() / crop.size
    gaps, pose = inner_lip_gap(points), points[:, UPPER_FACE]
    chosen = np.arange(len(points))
    for scene in scenes:
        own = chosen[scene][usable[scene]]
        if not len(own):
            continue
        shut = own[gaps[own] <= np.quantile(gaps[own], SHUT)]
        kept = spread_out(pose[shut].reshape(len(shut), -1), MOST)
        shown = shut[kept]
        far = np.stack([np.linalg.norm(pose[own] - pose[k], axis=2).mean(1) for k in shown])
        nearest = far.argmin(0)
        fits = far.min(0) < FAR
        chosen[own[fits]] = shown[nearest[fits]]
    return chosen


def spread_out(points: NDArray[np.floating], most: int) -> NDArray[np.int64]:
    """Up to `most` of points [N,D], each as far as can be from those before (farthest-point sampling), the middle one
    first."""
    middle = np.square(points - points.mean(0)).sum(1).argmin()
    found, far = [int(middle)], np.square(points - points[middle]).sum(1)
    while len(found) < min(most, len(points)) and far.max() > 0:
        found.append(int(far.argmax()))
        far = np.minimum(far, np.square(points - points[found[-1]]).sum(1))
    return np.array(found)


def cut_references(
    chunks: Iterable[NDArray[np.uint8]], crop: FaceCrop, chosen: NDArray[np.int64]
) -> dict[int, NDArray[np.uint8]]:
    """The crops [S,S,3] of the frames that others are shown, by number, out of frames from the first on in chunks.

    Reads no further than the last of them.
    """
    wanted = np.unique(chosen[chosen != np.arange(len(chosen))])
    found: dict[int, NDArray[np.uint8]] = {}
    first = 0
    for chunk in chunks if len(wanted) else ():
        inside = wanted[(wanted >= first) & (wanted < first + len(chunk))]
        if len(inside):
            faces = crop_faces(chunk[inside - first], crop.at(torch.from_numpy(inside)))
            found.update(zip(inside.tolist(), faces, strict=True))
        first += len(chunk)
        if first > wanted[-1]:
            break
    return found


def beside(
    faces: NDArray[np.uint8],
    frames: Iterable[int],
    crop: FaceCrop,
    chosen: NDArray[np.int64],
    cut: Mapping[int, NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """The references [n,S,S,3] of the faces of these frames: each with the mouth of the one that was chosen for it.

    A frame for which none was cut keeps its own.
    """
    points, out = crop.landmarks.numpy(), faces.copy()
    for face, k in zip(out, frames, strict=True):
        other = int(chosen[k])
        if other != k and other in cut:
            face[:] = with_mouth(face, cut[other], points[k], points[other])
    return out


def with_mouth(
    face: NDArray[np.uint8], other: NDArray[np.uint8], points: NDArray[np.float32], others: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """A face [S,S,3] with the mouth of another crop of like pose, moved with the nose's base; landmarks [68,2] of both.

    Around the mouth all is the face's own, so jaw and background need not fit.
    """
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    size = len(face)
    shift = points[NOSE_BASE].mean(0) - others[NOSE_BASE].mean(0)
    moved = cv2.warpAffine(other, np.hstack([np.eye(2), shift[:, None]]), (size, size), borderMode=cv2.BORDER_REPLICATE)
    lips = np.concatenate([points[OUTER_LIPS], others[OUTER_LIPS] + shift])
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(lips).astype(np.int32)), 255)
    reach = max(round(_REACH * size), 1)
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    weight = cv2.GaussianBlur(mask, (0, 0), reach / 2).astype(np.float32)[..., None] / 255
    return np.rint(face + weight * (moved.astype(np.float32) - face)).astype(np.uint8)
