"""Metrics of what mouths do: where their landmarks are, how far they open and when, and whether they shut."""

from __future__ import annotations

import numpy as np

from ..correlation import mouth_lag, pearson
from ..faces.geometry import align_points
from ..faces.landmarks import landmark_distance
from . import metrics
from .footage import Footage, Pair
from .mouths import lip_colours
from .registry import Kit, Measured, metric

_READ = "as the bundled face reader finds it in each of both clips"
_OPENING = f"The mouth's opening (the inner lips' gap by the height from brow to chin), {_READ}"
_OPEN = (
    "A mouth is open a quarter of the way from the real clip's shut lips (the twentieth of its frames that are most "
)
_OPEN += "shut) to its wider half"


@metric("lmd", "landmark distance (LMD)", "mouth", "% of eye distance", "lower", "Mean distance of the 20 mouth "
        "landmarks (48-67) after a similarity transform has laid corners of the eyes and nose on the real ones, frame "
        "by frame, by the distance of the eyes' centres.", ("same words", "mouths"))  # fmt: skip
def lmd(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    moved = align_points(subject.points, pair.real.points)
    return _seen(100 * landmark_distance(moved, pair.real.points), pair)


@metric("opening", "mouth opening, correlation", "mouth", "", "higher", f"{_OPENING}: Pearson correlation of both.",
        ("same words", "mouths"))  # fmt: skip
def opening(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(pearson(subject.opening[pair.seen], pair.real.opening[pair.seen]))


@metric("lag", "mouth opening, lag", "mouth", "frames", "zero", "The shift within 10 frames at which that correlation "
        "peaks; above zero the mouth is late. Over clips the mean of absolute values.", ("same words", "mouths"),
        magnitude=True)  # fmt: skip
def lag(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(float(mouth_lag(subject.opening, pair.real.opening)[0]))


@metric("spread", "mouth opening, spread", "mouth", "", "real", f"{_OPENING}: deviation over time, by the real clip's; "
        "below 1 a mouth mumbles.", ("same words", "mouths"))  # fmt: skip
def spread(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    real = float(pair.real.opening[pair.seen].std())
    return Measured(float(subject.opening[pair.seen].std()) / real if real > 0 else float("nan"), subject.opening)


@metric("closures", "mouth shut at p, b, m", "mouth", "share", "higher", f"Share of p, b and m at which the mouth is "
        f"not open, a frame early or late at most. {_OPEN}.", ("same words", "mouths", "closures"))  # fmt: skip
def closures(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    assert pair.closures is not None
    near = np.clip(pair.closures[:, None] + np.arange(-1, 2), 0, len(pair) - 1)
    return Measured(float((subject.opening[near].min(1) <= pair.open_from).mean()))


@metric("chroma", "lips, chroma", "mouth", "", "real", "Mean CIELAB chroma of the lips by the real clip's; below 1 "
        "they are pale.", ("faces in place", "mouths"))  # fmt: skip
def chroma(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    mine, real = (np.nanmean(np.linalg.norm(lips[:, 1:], axis=1)) for lips in _lips(subject, pair))
    return Measured(float(mine / real) if real > 0 else float("nan"))


@metric("lip_colour", "lips, distance of colour", "mouth", "CIE76", "lower", "Mean distance of the lips' mean CIELAB "
        "colours, frame by frame.", ("faces in place", "mouths"))  # fmt: skip
def lip_colour(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    mine, real = _lips(subject, pair)
    return Measured(float(np.nanmean(np.linalg.norm(mine - real, axis=1))))


@metric("open_pauses", "open mouth in pauses", "silence", "share", "real", f"Share of frames with an open mouth among "
        f"those that lie five or more from any speech, as the voice activity gate hears it. {_OPEN}.",
        ("sound", "mouths", "pauses"))  # fmt: skip
def open_pauses(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    assert pair.pauses is not None
    return Measured(metrics.open_share(subject.opening, pair.pauses, pair.open_from))


@metric("open_silence", "open mouth, given silence", "silence", "share", "lower", f"Share of frames with an open mouth "
        f"in a run of the generating system over the real clip with a silent sound; beside it the real clip's, with "
        f"its own sound. {_OPEN}.", ("mouths", "silent run"), subject="hushed")  # fmt: skip
def open_silence(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(metrics.open_share(subject.opening, subject.seen, pair.open_from))


def _lips(subject: Footage, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """CIELAB colours [n,3] of the subject's and the real clip's lips."""

    def lips(clip: Footage) -> np.ndarray:
        def colours() -> np.ndarray:
            return lip_colours(pair.placed(clip)[pair.seen], pair.placed_points(clip)[pair.seen])

        return clip.once(f"lips in {pair.name}", colours)

    return lips(subject), lips(pair.real)


def _seen(curve: np.ndarray, pair: Pair) -> Measured:
    curve = np.where(pair.seen, curve, np.nan)
    return Measured(float(np.nanmean(curve)), curve)
