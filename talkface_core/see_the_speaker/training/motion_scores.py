"""How well a made motion says its sound and lives, beside the true motion of the same sound; from keypoints alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...correlation import pearson
from ..controls import BLINK_LEFT, BLINK_RIGHT, OPENING, ControlTable
from ..motion import Motion
from .motion_clips import MotionClip

Track = NDArray[np.floating]

BLINK = 0.5
"""Lids that are shut further than this blink."""

_NOD_LAG = range(-3, 4)
"""Frames by which a nod may come before or after the stress of a word."""

_SHUFFLES = 40


@dataclass(frozen=True)
class MotionScores:
    """One clip's scores; real: what the true motion has.

    opening: correlation of the mouth's opening with the truth; spread: ratio of their deviations; closed: share of p, b
    and m at which the mouth is shut, a frame early or late at most; shut: share of the frames with a truly open mouth
    in which it is shut; blinks: a minute; head: deviation of yaw, pitch and roll together, degrees; nods: correlation
    of the head's pitch with the stress of words at the best lag, above that of the same head shifted in time; jitter:
    change of the opening's speed from frame to frame, by the truth's.
    """

    opening: float
    spread: float
    closed: float
    closed_real: float
    shut: float
    blinks: float
    blinks_real: float
    head: float
    head_real: float
    nods: float
    nods_real: float
    jitter: float

    @classmethod
    def mean(cls, scores: Sequence[MotionScores]) -> dict[str, float]:
        """Of several clips; what a clip does not have is left out."""
        found = {}
        for field in fields(cls):
            values = np.array([getattr(score, field.name) for score in scores])
            if np.isfinite(values).any():
                found[field.name] = round(float(np.nanmean(values)), 4)
        return found


def motion_scores(made: Tensor, clip: MotionClip, controls: ControlTable, seed: int = 0) -> MotionScores:
    """Scores of motion values [T,3K+7] made for a clip's sound."""
    said, real = (opening_track(values, controls) for values in (made, clip.values))
    limit = shut_below(real)
    blinks = [blinks_a_minute(values, controls) for values in (made, clip.values)]
    turns = [values[:, -3:].numpy().astype(np.float64) for values in (made, clip.values)]
    nods = [float("nan"), float("nan")]
    if clip.prominence is not None:
        nods = [nodding(turn[:, 1], clip.prominence.numpy(), seed) for turn in turns]
    trembles = [np.abs(np.diff(track, n=2)).mean() for track in (said, real)]
    return MotionScores(
        opening=pearson(said, real),
        spread=float(said.std() / max(real.std(), 1e-9)),
        closed=closed_share(said, clip.closures, limit),
        closed_real=closed_share(real, clip.closures, limit),
        shut=float((said[real > limit] <= limit).mean()) if (real > limit).any() else float("nan"),
        blinks=blinks[0],
        blinks_real=blinks[1],
        head=float(np.sqrt((turns[0].std(0) ** 2).sum())),
        head_real=float(np.sqrt((turns[1].std(0) ** 2).sum())),
        nods=nods[0],
        nods_real=nods[1],
        jitter=float(trembles[0] / max(trembles[1], 1e-9)),
    )


def opening_track(values: Tensor, controls: ControlTable) -> Track:
    """The mouth's opening [T] of motion values [T,3K+7]."""
    return controls.value(Motion.from_values(values).expression, OPENING).double().numpy()


def shut_below(real: Track) -> float:
    """The opening below which a mouth counts as shut: a quarter of the way from shut lips to speaking ones."""
    still = real <= np.quantile(real, 0.15)
    return float(0.75 * real[still].mean() + 0.25 * real[~still].mean())


def closed_share(said: Track, closures: NDArray[np.int64], limit: float) -> float:
    """Share of closures, frames, about which an opening [T] falls to the limit."""
    near = np.clip(closures[:, None] + np.arange(-1, 2), 0, len(said) - 1)
    return float((said[near].min(1) <= limit).mean()) if len(near) else float("nan")


def blinks_a_minute(values: Tensor, controls: ControlTable, fps: float = 25) -> float:
    """How often both lids shut in motion values [T,3K+7]; NaN where the controls do not know the lids."""
    if not {BLINK_LEFT, BLINK_RIGHT} <= set(controls.names):
        return float("nan")
    expression = Motion.from_values(values).expression
    shut = (controls.value(expression, BLINK_LEFT) + controls.value(expression, BLINK_RIGHT)).numpy() / 2
    return float(((shut[1:] > BLINK) & (shut[:-1] <= BLINK)).sum() / len(shut) * fps * 60)


def nodding(pitch: Track, prominence: Track, seed: int = 0) -> float:
    """How much more the pitch [T] goes with the stress of words [T] than the same pitch at other times."""
    if prominence.std() < 1e-6 or pitch.std() < 1e-9:
        return float("nan")
    rng = np.random.default_rng(seed)
    shifts = rng.integers(len(pitch) // 4, 3 * len(pitch) // 4 + 1, _SHUFFLES)
    chance = [_best(np.roll(pitch, shift), prominence) for shift in shifts]
    return float(_best(pitch, prominence) - np.mean(chance))


def _best(pitch: Track, prominence: Track) -> float:
    """The highest correlation over the lags."""
    return max(pearson(np.roll(pitch, -lag), prominence) for lag in _NOD_LAG)
