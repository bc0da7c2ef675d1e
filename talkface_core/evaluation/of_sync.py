"""Metrics of lips and sound: offset, distance and confidence, by the bundled lip expert and by the published evaluator.

The bundled expert's numbers are its own, of unit vectors: they are no LSE-D and LSE-C, and compare with the real clip's
beside them alone.
"""

from __future__ import annotations

import numpy as np

from ..faces.align import align
from ..sync.score import SyncScore, sync_score
from .footage import Footage, Pair
from .registry import Kit, Measured, metric

_SHIFTS = "Distances of the vectors of five frames and of the sound around them at shifts of -15 to 15 frames, the "
_SHIFTS += "mean over the clip's frames: "
_OWN = ", by the bundled lip expert (unit vectors: 0 to 2), on aligned crops. Its own scale, not LSE."
_PUBLISHED = ", by the published SyncNet evaluator; the crop is by our own face track, not by S3FD, so compare with "
_PUBLISHED += "the real clip beside it, not with other tables."
_OFFSET = "the shift at which they are least; above zero the sound is late"
_DISTANCE = "the least of them"
_CONFIDENCE = "the median over the shifts minus the least"


def expert_score(subject: Footage, pair: Pair, kit: Kit) -> SyncScore:
    """Of the bundled expert, computed once for each clip."""
    expert, mel = kit.expert, pair.real.mel if subject.mel is None else subject.mel
    assert expert is not None
    assert mel is not None
    return subject.once(
        "expert", lambda: sync_score(expert, subject.cut(align(subject.track, expert.config.size)), mel)
    )


def _published(subject: Footage, kit: Kit) -> SyncScore:
    evaluator = kit.evaluator
    assert evaluator is not None
    return subject.once("evaluator", lambda: evaluator(subject))


@metric("offset", "sync offset (bundled expert)", "sync", "frames", "zero", f"{_SHIFTS}{_OFFSET}{_OWN} Over clips the "
        "mean of absolute values.", ("sound", "expert"), magnitude=True)  # fmt: skip
def offset(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(float(expert_score(subject, pair, kit).offset))


@metric("distance", "sync distance (bundled expert)", "sync", "", "real", f"{_SHIFTS}{_DISTANCE}{_OWN}",
        ("sound", "expert"))  # fmt: skip
def distance(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(expert_score(subject, pair, kit).distance)


@metric("confidence", "sync confidence (bundled expert)", "sync", "", "real", f"{_SHIFTS}{_CONFIDENCE}{_OWN}",
        ("sound", "expert"))  # fmt: skip
def confidence(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(expert_score(subject, pair, kit).confidence)


@metric("lse_offset", "AV offset (SyncNet)", "sync", "frames", "zero", f"{_SHIFTS}{_OFFSET}{_PUBLISHED} Over clips the "
        "mean of absolute values.", ("sound", "evaluator"), magnitude=True)  # fmt: skip
def lse_offset(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(float(_published(subject, kit).offset))


@metric("lse_d", "LSE-D (SyncNet)", "sync", "", "real", f"{_SHIFTS}{_DISTANCE}{_PUBLISHED}",
        ("sound", "evaluator"))  # fmt: skip
def lse_d(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(_published(subject, kit).distance)


@metric("lse_c", "LSE-C (SyncNet)", "sync", "", "real", f"{_SHIFTS}{_CONFIDENCE}{_PUBLISHED}",
        ("sound", "evaluator"))  # fmt: skip
def lse_c(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(_published(subject, kit).confidence)


@metric("confidence_silence", "sync confidence, given silence", "silence", "", "lower", "The bundled expert's "
        "confidence in a run with a silent sound, held against the real clip's words, which it cannot have heard; "
        "beside it the real clip's. What is not near zero was taken over from the footage.",
        ("sound", "expert", "silent run"), subject="hushed")  # fmt: skip
def confidence_silence(subject: Footage, pair: Pair, kit: Kit) -> Measured:
    return Measured(expert_score(subject, pair, kit).confidence if len(subject) >= 5 else float(np.nan))
