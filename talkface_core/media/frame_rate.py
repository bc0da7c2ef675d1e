"""The constant frame rate that fits the time stamps of a film.

Headers are hints: browsers write films of "1000 fps", telephones films whose rate varies, and one still in the middle
makes any average meaningless. Stamps are what a player goes by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from ..errors import InputError

LOWEST, HIGHEST = 1, 240
"""Frames per second that a film may have."""

STILL_RATE = Fraction(25)
"""Of a film of one picture whose header says nothing of use."""

_WHOLE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 144, 200, 240)
_BROADCAST = (24, 30, 48, 60, 120)  # also by 1000 / 1001
_USUAL = sorted([*map(Fraction, _WHOLE), Fraction(15, 2), *(Fraction(1000 * rate, 1001) for rate in _BROADCAST)])
_NEAR = 0.03
_NEIGHBOURS = 24  # intervals that are averaged over where the rate changes
_GAP = 1.7  # medians: in a longer interval a frame is missing, or it is a still


def fitting_rate(times: Sequence[Fraction], average: Fraction | None, name: str) -> Fraction:
    """Frames per second at which a film whose frames appear at these rising `times` (seconds) is played.

    The `average` of the header where every frame keeps its place at it; else the usual rate nearest to that of the
    film's fastest parts. Raises InputError, which calls the film `name`, for a rate outside of 1 to 240.
    """
    offsets = np.array([float(time - times[0]) for time in times])
    if len(times) < 2:
        return average if average and LOWEST <= average <= HIGHEST else STILL_RATE
    rate = average if average and _keeps_places(offsets, average) else _usual_rate(offsets)
    if not LOWEST <= rate <= HIGHEST:
        mean = (len(times) - 1) / offsets[-1] if offsets[-1] else math.inf
        raise InputError(
            f"{name} shows {mean:.5g} frames a second by its time stamps; {LOWEST} to {HIGHEST} can be played. Is it "
            "a film? Write it again with FFmpeg at a usual rate"
        )
    return rate


def frames_before(time: Fraction, rate: Fraction) -> int:
    """How many frames k show a moment, (k + 1/2) / rate, that lies before a time in seconds from the film's start."""
    return max(0, math.ceil(time * rate - Fraction(1, 2)))


def _keeps_places(offsets: np.ndarray, rate: Fraction) -> bool:
    # Some containers stamp each of a frame's two fields.
    for places in (offsets, offsets[::2]):
        if (np.abs(places * float(rate) - np.arange(len(places))) < 0.5).all():
            return True
    return False


def _usual_rate(offsets: np.ndarray) -> Fraction:
    lengths = np.diff(offsets)
    lengths = lengths[lengths <= _GAP * np.median(lengths)]
    usual = float(lengths.mean())
    if usual and np.abs(np.cumsum(lengths) / usual - np.arange(1, len(lengths) + 1)).max() >= 1:
        # No one rate: that of the fastest parts.
        window = min(_NEIGHBOURS, 1 + len(lengths) // 4)
        usual = float(np.percentile(np.convolve(lengths, np.full(window, 1 / window), "valid"), 10))
    fastest = 1 / usual if usual else math.inf
    near = [rate for rate in _USUAL if abs(float(rate) / fastest - 1) < _NEAR]
    if near:
        return min(near, key=lambda rate: abs(float(rate) - fastest))
    higher = (rate for rate in _USUAL if rate > fastest)
    return next(higher, Fraction(HIGHEST + 1)) if fastest >= LOWEST else Fraction(0)
