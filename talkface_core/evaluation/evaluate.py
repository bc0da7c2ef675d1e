"""The evaluation of clips: every metric of each pair, what was left out and why, and the moments to look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..media.timebase import FPS, SAMPLE_RATE
from .catalogue import METRICS, SETS
from .footage import Pair
from .frechet import frechet_distance
from .intervals import bootstrap
from .registry import Kit, Metric
from .table import Report, Row

MOMENTS = 3
"""Of each clip, how many of its worst."""

_FEWEST = 2  # vectors of each side that a Frechet distance needs
_APART = FPS // 2  # frames between two moments of a clip
_WORST = (("lmd", 1), ("psnr_mouth", -1), ("identity", -1), ("flicker_mouth", 1))
"""Curves by which moments are bad, the first that there is; -1: where they are low."""


@dataclass(frozen=True)
class Moment:
    """A frame to look at: how bad by `metric`, and both faces [S,S,3]."""

    clip: str
    frame: int
    metric: str
    value: float
    badness: float
    generated: NDArray[np.uint8]
    real: NDArray[np.uint8]


@dataclass(frozen=True)
class ClipScores:
    """One clip's values by metric, generated and real; why others were left out; what its picture is drawn of:
    openings [T] of both, envelope [T,2] (least and most of the sound in each frame), pauses [T], closures, the strip of
    faces [2,n,S,S,3] at frames strip_at; features of the sets' metrics."""

    name: str
    frames: int
    values: dict[str, float]
    real: dict[str, float]
    left_out: dict[str, str]
    openings: NDArray[np.float32]
    open_from: float
    envelope: NDArray[np.float32] | None
    pauses: NDArray[np.bool_] | None
    closures: NDArray[np.int64] | None
    curves: dict[str, NDArray[np.floating]]
    moments: tuple[Moment, ...]
    strip: NDArray[np.uint8]
    strip_at: tuple[int, ...]
    features: dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]] = field(default_factory=dict)


def score(
    pair: Pair,
    kit: Kit,
    metrics: Mapping[str, Metric] = METRICS,
    progress: Callable[[str], None] | None = None,
    shown: int = 6,
    sets: Collection[str] = tuple(SETS),
) -> ClipScores:
    """All metrics of one pair, and what those of whole sets compare. `progress` is told of each one's key; `shown`
    faces make the strip."""
    values, real, left_out, curves = {}, {}, {}, {}
    for key, metric in metrics.items():
        if progress is not None:
            progress(key)
        if reason := metric.missing(pair, kit):
            left_out[key] = reason
            continue
        measured = metric.of(pair, kit)
        values[key] = measured.value
        real[key] = metric.of(pair, kit, real=True).value
        if measured.curve is not None and len(measured.curve) == len(pair):
            curves[key] = measured.curve
    features = {}
    for key in sets:
        describe = getattr(kit, SETS[key].instrument)
        if describe is None:
            left_out[key] = SETS[key].missing
            continue
        if progress is not None:
            progress(key)
        sides = [clip.once(f"set {key}", partial(describe, clip.crops)).numpy() for clip in (pair.generated, pair.real)]
        features[key] = (sides[0], sides[1])
    at = tuple(np.linspace(0, len(pair) - 1, shown + 2).round().astype(int)[1:-1].tolist())
    return ClipScores(
        *(pair.name, len(pair), values, real, left_out),
        openings=np.stack([pair.generated.opening, pair.real.opening]),
        open_from=pair.open_from,
        envelope=_envelope(pair),
        pauses=pair.pauses,
        closures=pair.closures,
        curves=curves,
        moments=_moments(pair, curves),
        strip=np.stack([pair.generated.crops[list(at)], pair.real.crops[list(at)]]),
        strip_at=at,
        features=features,
    )


@dataclass(frozen=True)
class Evaluation:
    """All clips' scores. about: what was compared, in JSON's types."""

    clips: tuple[ClipScores, ...]
    metrics: Mapping[str, Metric]
    about: dict[str, Any] = field(default_factory=dict)

    def report(self, title: str = "Generated clips beside the real ones") -> Report:
        """Means over the clips with their intervals, beside the real clips'."""
        rows = [
            self._row(metric) for metric in self.metrics.values() if any(metric.key in c.values for c in self.clips)
        ]
        compared = [key for key in SETS if min(map(len, self._compared(key))) >= _FEWEST]
        rows += [self._set_row(key) for key in compared]
        protocol = {m.title: m.protocol for m in self.metrics.values() if any(m.key in c.values for c in self.clips)}
        protocol |= {SETS[key].title: SETS[key].protocol for key in compared}
        protocol["interval"] = "95 % bootstrap interval of the mean over clips, none for fewer than three clips."
        return Report(title, rows, self.about, protocol, self.left_out())

    def left_out(self) -> dict[str, str]:
        """Titles of what was computed of no clip, and of some clips alone, with the reasons."""
        told: dict[str, str] = {}
        for key, title in {
            **{k: m.title for k, m in self.metrics.items()},
            **{k: s.title for k, s in SETS.items()},
        }.items():
            without = [clip for clip in self.clips if key in clip.left_out]
            if not without:
                continue
            reasons = "; ".join(dict.fromkeys(clip.left_out[key] for clip in without))
            some = "" if len(without) == len(self.clips) else f" ({len(without)} of {len(self.clips)} clips)"
            told[title + some] = reasons
        for key, entry in SETS.items():
            count = min(map(len, self._compared(key)))
            if count < _FEWEST and any(key in clip.features for clip in self.clips):
                told[entry.title] = f"the clips give {count} of the two vectors that are needed: measure longer ones"
        return told

    def moments(self, most: int = 24) -> list[Moment]:
        """The worst moments of all clips, the worst first."""
        return sorted((m for clip in self.clips for m in clip.moments), key=lambda moment: -moment.badness)[:most]

    def _row(self, metric: Metric) -> Row:
        clips = {clip.name: clip.values[metric.key] for clip in self.clips if metric.key in clip.values}
        beside = [clip.real[metric.key] for clip in self.clips if metric.key in clip.real]
        counted = [[abs(v) if metric.magnitude else v for v in part] for part in (list(clips.values()), beside)]
        (value, real), (interval, real_interval) = map(_mean, counted), map(bootstrap, counted)
        return Row(
            *(metric.group, metric.title, value, real, metric.unit),
            clips=clips,
            key=metric.key,
            better=metric.better,
            interval=interval,
            real_interval=real_interval,
        )

    def _set_row(self, key: str) -> Row:
        generated, real = self._compared(key)
        distance = frechet_distance(generated, real)
        return Row(SETS[key].group, SETS[key].title, distance, 0.0, f"of {len(generated)}", key=key, better="lower")

    def _compared(self, key: str) -> list[NDArray[np.float32]]:
        """All clips' vectors [N,D], generated and real."""
        sides = [clip.features[key] for clip in self.clips if key in clip.features]
        if not sides:
            return [np.zeros((0, 1), np.float32)] * 2
        return [np.concatenate(side) for side in zip(*sides, strict=True)]


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _envelope(pair: Pair) -> NDArray[np.float32] | None:
    sound = pair.generated.sound if pair.generated.sound is not None else pair.real.sound
    if sound is None:
        return None
    step, count = SAMPLE_RATE // FPS, len(pair)
    wave = np.zeros(count * step, np.float32)
    wave[: min(len(sound), len(wave))] = sound[: len(wave)].numpy()
    frames = wave.reshape(count, step)
    return np.stack([frames.min(1), frames.max(1)], 1)


def _moments(pair: Pair, curves: Mapping[str, NDArray[np.floating]]) -> tuple[Moment, ...]:
    """The frames at which the first curve that there is stands worst, half a second apart."""
    key, sign = next(((key, sign) for key, sign in _WORST if key in curves), (None, 1))
    if key is None:
        return ()
    badness = np.where(pair.seen & np.isfinite(curves[key]), sign * curves[key], -np.inf)
    found: list[Moment] = []
    for frame in np.argsort(-badness, kind="stable").tolist():
        if len(found) == MOMENTS or badness[frame] == -np.inf:
            break
        if all(abs(frame - other.frame) >= _APART for other in found):
            faces = pair.generated.crops[frame].copy(), pair.real.crops[frame].copy()
            found.append(Moment(pair.name, frame, key, float(curves[key][frame]), float(badness[frame]), *faces))
    return tuple(found)
