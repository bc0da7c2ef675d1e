"""Metrics over time: flicker, sharpness, who the face is like, and how far the last two drift from beginning to end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from . import metrics
from .footage import Footage, Pair
from .mouths import mouth_box
from .registry import Kit, Measured, metric

_FIFTH = "the last fifth of the clip by its first fifth"
_SHARP = "The variance of the luma's Laplacian"
_AT_ONCE = 64


@metric("sharpness_mouth", "sharpness, mouth", "time", "", "real", f"{_SHARP} in the mouth's box of the aligned crop, "
        "by the real clip's; below 1 softer. Shrunken or enlarged footage is compared as it comes.",
        ("mouths",))  # fmt: skip
def sharpness_mouth(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    curve, real = (_sharpness(clip, clip_box(clip)) for clip in (subject, pair.real))
    return Measured(float(curve.mean() / real.mean()) if real.mean() > 0 else float("nan"), curve)


@metric("sharpness_drift", "sharpness, drift", "time", "", "real", f"{_SHARP} of the aligned face: {_FIFTH}; 1 is "
        "steady.", ("mouths",))  # fmt: skip
def sharpness_drift(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    curve = _sharpness(subject, (slice(None), slice(None)))
    first, last = _ends(curve)
    return Measured(last / first if first > 0 else float("nan"), curve)


@metric("flicker_face", "flicker, face", "time", "levels", "real", "Mean absolute change from frame to frame in the "
        "aligned face, of 255 levels: motion and flicker together, so compare with the real clip.",
        ("mouths",))  # fmt: skip
def flicker_face(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    curve = _changes(subject.crops)
    return Measured(float(curve.mean()), np.concatenate([[np.nan], curve]))


@metric("flicker_mouth", "flicker, mouth", "time", "", "real", "That change in the mouth's box of the aligned crop, by "
        "the real clip's.", ("mouths",))  # fmt: skip
def flicker_mouth(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    def changes(clip: Footage) -> NDArray[np.float64]:
        rows, columns = clip_box(clip)
        return _changes(clip.crops[:, rows, columns])

    curve, real = changes(subject), changes(pair.real)
    value = float(curve.mean() / real.mean()) if real.mean() > 0 else float("nan")
    return Measured(value, np.concatenate([[np.nan], curve]))


@metric("flicker_still", "flicker where the film stands still", "time", "levels", "real", "Mean absolute change from "
        "frame to frame, of 255 levels, of the pixels whose deviation over the real clip is below 2 levels.",
        ("faces in place",))  # fmt: skip
def flicker_still(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    still = metrics.StillMask()
    for start in range(0, len(pair), _AT_ONCE):
        still.add(pair.real.crops[start : start + _AT_ONCE])
    mask = still.mask()
    if not mask.any():
        return Measured(float("nan"))
    meter = metrics.Flicker(mask)
    for start in range(0, len(pair), _AT_ONCE):
        meter.add(pair.placed(subject)[start : start + _AT_ONCE])
    return Measured(meter.value)


@metric("identity", "likeness", "identity", "cosine", "real", "Mean cosine between SFace's vectors (128) of the face "
        "in each frame, at 112 px through five landmarks, and the mean vector of the real clip. OpenCV takes 0.363 or "
        "more for one person; rendered people are more alike than real ones.", ("embedding",))  # fmt: skip
def identity(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    curve = _likeness(subject, pair, kit)
    return Measured(float(curve.mean()), curve)


@metric("identity_drift", "likeness, drift", "identity", "cosine", "real", "That cosine in the last fifth of the clip "
        "minus the one in its first fifth.", ("embedding",))  # fmt: skip
def identity_drift(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    first, last = _ends(_likeness(subject, pair, kit))
    return Measured(last - first)


def clip_box(clip: Footage) -> tuple[slice, slice]:
    """Rows and columns of a clip's own mouth in its own crops."""
    points = clip.crop.landmarks.numpy()
    return mouth_box(points[clip.seen] if clip.seen.any() else points, clip.crop.size)


def _likeness(subject: Footage, pair: Pair, kit: Kit) -> NDArray[np.float32]:
    def vectors(clip: Footage) -> torch.Tensor:
        embed = kit.embed
        assert embed is not None
        return clip.once("embedded", lambda: embed(clip))

    mean = torch.nn.functional.normalize(vectors(pair.real).mean(0), dim=0)
    return (vectors(subject) @ mean).numpy()


def _sharpness(clip: Footage, box: tuple[slice, slice]) -> NDArray[np.float32]:
    return _in_parts(clip.crops[:, box[0], box[1]], lambda part: metrics.laplacian_variance(part).numpy())


def _changes(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean absolute change from each frame to the next [T-1], levels."""
    return np.array([np.abs(crops[k + 1].astype(np.int16) - crops[k]).mean() for k in range(len(crops) - 1)])


def _in_parts(
    crops: NDArray[np.uint8], measure: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    return np.concatenate([measure(crops[k : k + _AT_ONCE]) for k in range(0, len(crops), _AT_ONCE)])


def _ends(curve: NDArray[np.floating]) -> tuple[float, float]:
    """Means of a clip's first and last fifth."""
    fifth = max(len(curve) // 5, 1)
    return float(curve[:fifth].mean()), float(curve[-fifth:].mean())
