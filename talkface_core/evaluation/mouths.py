"""Repainted mouths beside the real ones of the same frames: movement, colour of the lips, sharpness, fidelity.

Everything is measured on aligned crops of both films and on landmarks that one reader found in both, so what the reader
sees a little aside, and how sharp the footage is, does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..correlation import pearson
from ..errors import InputError
from ..faces.landmarks import INNER_LIPS, MOUTH, OUTER_LIPS, mouth_opening
from .metrics import flicker, laplacian_variance, psnr, ssim

_FINE = 4  # bits of the subpixels that OpenCV draws with
_AROUND = 0.35  # of a mouth's width, that its box reaches beyond the lips
_FEW = 12  # pixels of lips below which they have no colour to speak of


@dataclass(frozen=True)
class MouthScores:
    """What `compare_mouths` measures; ratios are to the real mouth's.

    opening: correlation of both openings; spread: ratio of their standard deviations; chroma: ratio of the lips' mean
    chroma; colour: mean CIE76 distance of the lips' mean colours; sharpness: ratio of the Laplacian's variance;
    flicker: of the change from frame to frame; psnr (dB) and ssim. The last four are of the mouth's box.
    """

    opening: float
    spread: float
    chroma: float
    colour: float
    sharpness: float
    psnr: float
    ssim: float
    flicker: float

    @classmethod
    def mean(cls, scores: list[MouthScores]) -> MouthScores:
        """Of several clips; NaN where a clip has no such number is left out."""
        return cls(*(float(np.nanmean([getattr(score, field.name) for score in scores])) for field in fields(cls)))


def compare_mouths(
    generated: NDArray[np.uint8],
    real: NDArray[np.uint8],
    generated_points: NDArray[np.floating],
    real_points: NDArray[np.floating],
) -> MouthScores:
    """Scores of crops uint8 [T,S,S,3] beside the real ones; landmarks [T,68,2] as read in each, in pixels of the crops.

    Raises InputError for crops or landmarks that do not belong together, or fewer than two frames.
    """
    if generated.shape != real.shape or generated_points.shape != real_points.shape or len(real) != len(real_points):
        raise InputError(
            f"crops {list(generated.shape)} and {list(real.shape)} with landmarks {list(generated_points.shape)} and "
            f"{list(real_points.shape)}; compare equal numbers of frames of one size."
        )
    openings = mouth_opening(generated_points), mouth_opening(real_points)
    colours = lip_colours(generated, generated_points), lip_colours(real, real_points)
    away = np.linalg.norm(colours[0] - colours[1], axis=1)
    chroma = [np.nanmean(np.linalg.norm(lab[:, 1:], axis=1)) for lab in colours]
    rows, columns = mouth_box(real_points, real.shape[1])
    mine, theirs = generated[:, rows, columns], real[:, rows, columns]
    return MouthScores(
        opening=pearson(*openings),
        spread=_ratio(openings[0].std(), openings[1].std()),
        chroma=_ratio(chroma[0], chroma[1]),
        colour=float(np.nanmean(away)),
        sharpness=_ratio(laplacian_variance(mine).mean().item(), laplacian_variance(theirs).mean().item()),
        psnr=float(psnr(mine, theirs).mean()),
        ssim=float(ssim(mine, theirs).mean()),
        flicker=_ratio(flicker(mine), flicker(theirs)),
    )


def mouth_box(points: NDArray[np.floating], size: int) -> tuple[slice, slice]:
    """Rows and columns of a crop that hold the mouth of all frames, by landmarks [T,68,2] in its pixels."""
    lips = points[:, MOUTH].reshape(-1, 2)
    low, high = lips.min(0), lips.max(0)
    reach = _AROUND * (high[0] - low[0])
    first = np.clip(np.floor(low - reach), 0, size - 1).astype(int)
    last = np.clip(np.ceil(high + reach), first + 1, size).astype(int)
    return slice(first[1], last[1]), slice(first[0], last[0])


def lip_colours(frames: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean CIELAB colour of the lips [T,3] of frames [T,H,W,3] with landmarks [T,68,2]; NaN where there are hardly
    any."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    colours = np.full((len(frames), 3), np.nan)
    for n, (frame, own) in enumerate(zip(frames, points, strict=True)):
        mask = np.zeros(frame.shape[:2], np.uint8)
        for part, value in ((OUTER_LIPS, 1), (INNER_LIPS, 0)):
            # OpenCV counts from the centre of the first pixel.
            cv2.fillPoly(mask, [np.round((own[part] - 0.5) * 2**_FINE).astype(np.int32)], value, cv2.LINE_8, _FINE)
        if mask.sum() >= _FEW:
            lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
            colours[n] = lab[mask > 0].mean(0)
    return colours


def _ratio(value: float, real: float) -> float:
    return float(value / real) if real > 0 else float("nan")
