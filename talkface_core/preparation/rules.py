"""Selects the usable frames of a video and divides them into clips. Pure functions of what was measured.

Every frame ends up in one clip or under one reason, so that the seconds of a report add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..media.timebase import FPS

"""Frames per second of every data set: the rate that the models run at."""

TAKEN = "taken"
NO_SOUND, LOW_RATE = "no sound", "low rate"
SCENE, NO_FACE, SMALL, PROFILE = "scene change", "no face", "small face", "profile"
BESIDE, SHORT = "beside val", "too short"
DARK, BLURRED, STILL, OUT_OF_STEP = "dark", "blurred", "still", "out of step"
REASONS = (NO_SOUND, LOW_RATE, SCENE, NO_FACE, SMALL, PROFILE, BESIDE, SHORT, DARK, BLURRED, STILL, OUT_OF_STEP)
"""Why frames are dropped; where several hold, the first of them is told."""

TRAIN, VAL = "train", "val"

_BRIDGED = FPS // 5  # frames without a face that are bridged: a blink of the detector, a hand that passes
_JUMP = 0.35  # heights of the face that it moves from one frame to the next only when the picture was cut
_GAP = 2 * FPS  # frames that are left out between what is trained on and what is not
_CALMEST = 0.6  # share of the longest clip from which on a clip may end at a quiet moment


@dataclass(frozen=True)
class Rules:
    """What is taken.

    size: side of the square frames in pixels; crop: "head" (one fixed square per clip) or "aligned" (each frame moved,
    turned and scaled onto the template of `faces.align`); shortest, longest: of a clip, seconds; min_face: height of
    the 68 landmarks' box in the film, pixels; max_yaw: degrees to either side; silence: dB of full scale that a clip
    must surpass somewhere. Raises InputError for values that no footage can meet.
    """

    size: int = 256
    crop: str = "head"
    shortest: float = 2.0
    longest: float = 8.0
    min_face: float = 64.0
    max_yaw: float = 45.0
    silence: float = -55.0

    def __post_init__(self) -> None:
        if self.crop not in ("head", "aligned"):
            raise InputError(f"crop {self.crop!r} is unknown; choose head or aligned.")
        if not 32 <= self.size <= 2048 or self.size % 2:
            raise InputError(f"frames of {self.size} px; give an even side from 32 to 2048.")
        if not 0.2 <= self.shortest <= self.longest / 2 or self.longest > 600:
            raise InputError(
                f"clips of {self.shortest:g} to {self.longest:g} s; the shortest is at least 0.2 s and at most half of "
                "the longest, which is at most 600 s."
            )
        if not self.min_face >= 16:
            raise InputError(f"a smallest face of {self.min_face:g} px; landmarks need at least 16.")
        if not 0 < self.max_yaw <= 90:
            raise InputError(f"a largest yaw of {self.max_yaw:g} degrees; give more than 0 and at most 90.")

    @property
    def shortest_frames(self) -> int:
        return round(self.shortest * FPS)

    @property
    def longest_frames(self) -> int:
        return round(self.longest * FPS)


@dataclass(frozen=True)
class Measured:
    """What the first pass found in T frames at 25 per second.

    scene [T] int: number of the scene, -1 amid a dissolve; visible [T] bool: a face was found; height [T]: of its
    landmarks' box, pixels of the film; centre [T,2]: of that box; yaw [T] degrees; level [T]: loudness in dB of full
    scale, -inf where the sound has ended.
    """

    scene: NDArray[np.integer]
    visible: NDArray[np.bool_]
    height: NDArray[np.floating]
    centre: NDArray[np.floating]
    yaw: NDArray[np.floating]
    level: NDArray[np.floating]

    def __len__(self) -> int:
        return len(self.scene)


@dataclass(frozen=True)
class Span:
    """A clip to be: the frames start to stop - 1 of a film, for `split`."""

    start: int
    stop: int
    split: str = TRAIN

    def __len__(self) -> int:
        return self.stop - self.start


def plan(measured: Measured, rules: Rules, val_from: int | None = None) -> tuple[list[Span], list[str]]:
    """Clips, in order, and for each frame the reason why it is dropped, or `TAKEN`.

    val_from: the frame from which on clips are for validation (0: all of them, None: none); the two seconds before it
    are left out, so that no second of training touches one of validation.
    """
    why = reasons(measured, rules)
    if val_from:
        for k in range(max(val_from - _GAP, 0), val_from):
            why[k] = BESIDE if why[k] == TAKEN else why[k]
    spans: list[Span] = []
    for start, stop in stretches(measured, why):
        if stop - start < rules.shortest_frames:
            why[start:stop] = [SHORT] * (stop - start)
            continue
        for a, b in divide(measured.level, start, stop, rules):
            if measured.level[a:b].max() <= rules.silence:
                why[a:b] = [NO_SOUND] * (b - a)
            else:
                spans.append(Span(a, b, VAL if val_from is not None and a >= val_from else TRAIN))
    return spans, why


def val_start(why: Sequence[str], share: float, rules: Rules) -> int | None:
    """The frame from which on a film is for validation, so that this is `share` (0 to 1) of its usable frames.

    None where nothing is: for share 0, and for films too short to give a clip to each side.
    """
    if share <= 0 or share >= 1:
        return None if share <= 0 else 0
    usable = np.flatnonzero([reason == TAKEN for reason in why])
    wanted = max(round(share * len(usable)), rules.shortest_frames)
    if len(usable) < wanted + _GAP + 2 * rules.shortest_frames:
        return None
    return int(usable[-wanted])


def reasons(measured: Measured, rules: Rules) -> list[str]:
    """For each frame the first reason of `REASONS` that tells against it by itself, or `TAKEN`."""
    tests = (
        (NO_SOUND, np.isneginf(measured.level)),
        (SCENE, measured.scene < 0),
        (NO_FACE, _long_gaps(~measured.visible, measured.scene)),
        (SMALL, measured.height < rules.min_face),
        (PROFILE, np.abs(measured.yaw) > rules.max_yaw),
    )
    why = np.full(len(measured), TAKEN, dtype=object)
    for reason, against in reversed(tests):
        why[against] = reason
    return why.tolist()


def stretches(measured: Measured, why: Sequence[str]) -> list[tuple[int, int]]:
    """The runs [start, stop) of frames that are taken, each within one scene and without a jump of the face."""
    usable = np.array([reason == TAKEN for reason in why], bool)
    if not usable.any():
        return []
    moved = np.linalg.norm(np.diff(measured.centre, axis=0), axis=1) / np.maximum(measured.height[1:], 1)
    grown = np.abs(np.diff(measured.height)) / np.maximum(measured.height[1:], 1)
    broken = (np.diff(measured.scene) != 0) | (moved > _JUMP) | (grown > _JUMP)
    edges = np.flatnonzero(np.concatenate([[True], broken | (np.diff(usable.astype(np.int8)) != 0), [True]]))
    return [(int(a), int(b)) for a, b in pairwise(edges) if usable[a]]


def divide(level: NDArray[np.floating], start: int, stop: int, rules: Rules) -> list[tuple[int, int]]:
    """A stretch as clips that leave nothing out, none longer than allowed, parted where it is most quiet."""
    parts = []
    while stop - start > rules.longest_frames:
        last = min(start + rules.longest_frames, stop - rules.shortest_frames)
        first = min(start + max(rules.shortest_frames, round(_CALMEST * rules.longest_frames)), last)
        cut = first + int(np.argmin(level[first : last + 1]))
        parts.append((start, cut))
        start = cut
    return [*parts, (start, stop)]


def seconds_by_reason(why: Sequence[str]) -> dict[str, float]:
    """Seconds dropped for each reason that occurs."""
    counts = Counter(why)
    return {reason: counts[reason] / FPS for reason in REASONS if counts[reason]}


def _long_gaps(missing: NDArray[np.bool_], scene: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where a face is missing and not bridged: runs longer than `_BRIDGED`, and those at the end of a scene."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    out = missing.copy()
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        within = a > 0 and b < len(missing) and (scene[a - 1 : b + 1] == scene[a]).all()
        if within and b - a <= _BRIDGED:
            out[a:b] = False
    return out
