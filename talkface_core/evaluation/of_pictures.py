"""Metrics of pixels, frame beside frame: PSNR, SSIM, LPIPS, and the seam of what was pasted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..faces.paste import mouth_mask
from . import metrics
from .footage import Footage, Pair, first_frames
from .mouths import mouth_box
from .registry import Kit, Measured, metric
from .seam import seam

_FACE = "of the face, cut out where the real clip's is, 256 px"
_MOUTH = "of the mouth's box (the lips of all frames and a third of their width around), cut out as the face is"
_RGB = "RGB, data range 1"
_SSIM = "SSIM with an 11 px Gaussian window of sigma 1.5 where it lies wholly inside"
_AT_ONCE = 64

Distances = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Tensor]


@metric("psnr_frame", "PSNR, whole frame", "picture", "dB", "higher", f"PSNR of whole frames, {_RGB}; infinite ones "
        "count as 100 dB. Where the words differ, so do the mouths.", ("faces in place",), perfect=100.0)  # fmt: skip
def psnr_frame(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    """Frames are read again, so that none is held."""
    count, parts = len(pair), []
    for mine, real in zip(first_frames(subject.frames(), count), first_frames(pair.real.frames(), count), strict=True):
        parts.append(metrics.psnr(mine, real).clamp(max=100).numpy())
    return _mean(np.concatenate(parts))


@metric("psnr_face", "PSNR, face", "picture", "dB", "higher", f"PSNR {_FACE}; {_RGB}.",
        ("faces in place", "same words"),
        perfect=100.0)  # fmt: skip
def psnr_face(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return _psnr(pair.placed(subject), pair.real.crops)


@metric("ssim_face", "SSIM, face", "picture", "", "higher", f"{_SSIM}, {_FACE}; {_RGB}.",
        ("faces in place", "same words"),
        perfect=1.0)  # fmt: skip
def ssim_face(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return _mean(metrics.ssim(pair.placed(subject), pair.real.crops).numpy())


@metric("psnr_mouth", "PSNR, mouth", "picture", "dB", "higher", f"PSNR {_MOUTH}; {_RGB}.",
        ("faces in place", "same words", "mouths"),
        perfect=100.0)  # fmt: skip
def psnr_mouth(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    rows, columns = box(pair)
    return _psnr(pair.placed(subject)[:, rows, columns], pair.real.crops[:, rows, columns])


@metric("ssim_mouth", "SSIM, mouth", "picture", "", "higher", f"{_SSIM}, {_MOUTH}; {_RGB}.",
        ("faces in place", "same words", "mouths"), perfect=1.0)  # fmt: skip
def ssim_mouth(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    rows, columns = box(pair)
    mine, real = pair.placed(subject)[:, rows, columns], pair.real.crops[:, rows, columns]
    return _mean(metrics.ssim(mine, real).numpy())


@metric("lpips", "LPIPS (VGG), face", "picture", "", "lower", f"LPIPS 0.1 with VGG-16, {_FACE}.",
        ("faces in place", "same words", "lpips"), perfect=0.0)  # fmt: skip
def lpips(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return _lpips(kit.lpips, subject, pair)


@metric("lpips_alex", "LPIPS (AlexNet), face", "picture", "", "lower", f"LPIPS 0.1 with AlexNet, {_FACE}.",
        ("faces in place", "same words", "lpips alex"), perfect=0.0)  # fmt: skip
def lpips_alex(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return _lpips(kit.lpips_alex, subject, pair)


@metric("seam", "seam, steepness", "picture", "", "real", "How steep brightness is across the soft edge of the pasted "
        "mouth's mask, by the real clip's: below 1 something is blurred there, above 1 there is an edge.",
        ("faces in place", "mouths"), perfect=1.0)  # fmt: skip
def seam_steepness(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(_seam(subject, pair)[0])


@metric("seam_step", "seam, step of colour", "picture", "levels", "lower", "By how much the change of colours differs "
        "between two rings outside and inside of that edge, of 255 levels, the channel that differs most; mean over "
        "twelve parts of the ring.", ("faces in place", "mouths"), perfect=0.0)  # fmt: skip
def seam_step(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(_seam(subject, pair)[1])


def box(pair: Pair) -> tuple[slice, slice]:
    """Rows and columns of the real clip's mouth in its crops."""
    return mouth_box(pair.placed_points(pair.real)[pair.seen], pair.real.crop.size)


def _seam(subject: Footage, pair: Pair) -> tuple[float, float]:
    return subject.once("seam", lambda: _seam_of(subject, pair))


def _seam_of(subject: Footage, pair: Pair) -> tuple[float, float]:
    every = max(len(pair) // _AT_ONCE, 1)  # a seam stands still: some frames tell of it
    chosen = np.flatnonzero(pair.seen)[::every]
    masks = mouth_mask(pair.real.crop.at(chosen.tolist())).numpy()
    return seam(pair.real.crops[chosen], pair.placed(subject)[chosen], masks)


def _lpips(distances: Distances | None, subject: Footage, pair: Pair) -> Measured:
    assert distances is not None
    mine, real = pair.placed(subject), pair.real.crops
    return _mean(np.concatenate([distances(mine[k : k + 8], real[k : k + 8]).numpy() for k in range(0, len(real), 8)]))


def _psnr(mine: np.ndarray, real: np.ndarray) -> Measured:
    parts = [metrics.psnr(mine[k : k + _AT_ONCE], real[k : k + _AT_ONCE]).clamp(max=100).numpy()
             for k in range(0, len(real), _AT_ONCE)]  # fmt: skip
    return _mean(np.concatenate(parts))


def _mean(curve: np.ndarray) -> Measured:
    return Measured(float(curve.mean()), curve)
