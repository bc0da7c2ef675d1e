"""How well completed landmarks say their sound, beside the true ones and beside a mouth that stays shut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...acoustic.training_features import HeardFeatures
from ...correlation import pearson
from ...faces.landmarks import MOUTH, mouth_opening
from ..completion_stream import CompletionModel
from ..landmarks import choose_references
from .completion_batches import LandmarkClip

APART = 12
"""Frames between a half and the references of the other."""


@dataclass(frozen=True)
class LandmarkScores:
    """One clip's scores.

    opening: correlation of the inner lips' gap with the truth; spread: ratio of their deviations; error: mean distance
    of the lips' points from the truth's, by that of the clip's mean shut mouth; closed: share of p, b and m at which
    the mouth is shut, a frame early or late at most; shut: share of the frames with a truly open mouth in which it is
    shut; silence: share of frames that are open where nothing is said; jitter: change of the lips' speed from frame to
    frame, by the truth's; other, other_closed, footage: where the clip is made to say another one's sound, correlation
    of the opening with the other's truth, share of its p, b and m at which the mouth is shut, and correlation of the
    opening with the clip's own truth beyond that which the other's truth has with it.
    """

    opening: float
    spread: float
    error: float
    closed: float
    shut: float
    silence: float
    jitter: float
    other: float = float("nan")
    other_closed: float = float("nan")
    footage: float = float("nan")

    @classmethod
    def mean(cls, scores: Sequence[LandmarkScores]) -> dict[str, float]:
        """Of several clips; what a clip does not have is left out."""
        found = {}
        for field in fields(cls):
            values = np.array([getattr(score, field.name) for score in scores])
            if np.isfinite(values).any():
                found[field.name] = round(float(np.nanmean(values)), 4)
        return found


def clip_scores(made: NDArray[np.floating], hushed: NDArray[np.floating], clip: LandmarkClip) -> LandmarkScores:
    """Scores of landmarks [T,68,2] that say a clip's sound, and of those that say nothing."""
    truth = clip.points.numpy()
    said, real = mouth_opening(made), mouth_opening(truth)
    shut, limit = _shut(clip)
    held = truth[shut][:, MOUTH].mean(0)
    error = [np.linalg.norm(lips - truth[:, MOUTH], axis=-1).mean() for lips in (made[:, MOUTH], held)]
    tremble = [np.linalg.norm(np.diff(points[:, MOUTH], n=2, axis=0), axis=-1).mean(1) for points in (made, truth)]
    return LandmarkScores(
        opening=pearson(said, real),
        spread=float(said.std() / max(real.std(), 1e-9)),
        error=float(error[0] / max(error[1], 1e-9)),
        closed=_closed(said, clip.closures, limit),
        shut=float((said[real > limit] <= limit).mean()) if (real > limit).any() else float("nan"),
        silence=float((mouth_opening(hushed) > limit).mean()),
        jitter=float(tremble[0].mean() / max(tremble[1].mean(), 1e-9)),
    )


def _shut(clip: LandmarkClip) -> tuple[NDArray[np.bool_], float]:
    """In which frames [T] a clip's mouth is shut, and the opening below which one counts as shut: a quarter of the way
    from shut lips to speaking ones."""
    shut, real = clip.shut.numpy(), mouth_opening(clip.points.numpy())
    if not shut.any() or shut.all():
        shut = real <= np.quantile(real, 0.1)
    return shut, float(0.75 * real[shut].mean() + 0.25 * real[~shut].mean())


def _closed(said: NDArray[np.floating], closures: NDArray[np.int64], limit: float) -> float:
    """Share of closures, frames, about which an opening [T] falls to the limit."""
    near = np.clip(closures[:, None] + np.arange(-1, 2), 0, len(said) - 1)
    return float((said[near].min(1) <= limit).mean()) if len(near) else float("nan")


@torch.no_grad()
def completion_scores(
    model: CompletionModel, clips: Sequence[LandmarkClip], heard: HeardFeatures
) -> list[LandmarkScores]:
    """Of each clip over its own pose, with its clean sound and the references of `completed`."""
    scores = []
    for k, clip in enumerate(clips):
        other = (k + len(clips) // 2) % len(clips)
        own = clip_scores(completed(model, clip, heard, k), completed(model, clip, heard, None), clip)
        if other != k:
            said = mouth_opening(completed(model, clip, heard, other))
            count = min(len(said), clips[other].frames)
            theirs, real = (mouth_opening(c.points.numpy())[:count] for c in (clips[other], clip))
            spoken = clips[other].closures
            own = replace(
                own,
                other=pearson(said[:count], theirs),
                other_closed=_closed(said, spoken[spoken < count], _shut(clip)[1]),
                footage=pearson(said[:count], real) - pearson(theirs, real),
            )
        scores.append(own)
    return scores


@torch.no_grad()
def completed(
    model: CompletionModel, clip: LandmarkClip, heard: HeardFeatures, index: int | None
) -> NDArray[np.float32]:
    """Landmarks [T,68,2] of a clip that says sound number `index` of `heard`, or none.

    Each half has references of the other one, so that they cannot tell the answer.
    """
    net, place, length = model.completion, model.device, clip.frames
    features = heard.silence[None] if index is None else heard.clips[index][0].float()
    features = features[torch.arange(length).clamp_max(len(features) - 1)]
    frames, middle = torch.arange(length), length // 2
    quiet = None if model.acoustic is None else heard.silence.float()
    halves = []
    for inside in (slice(0, middle), slice(middle, length)):
        apart = frames - (middle if inside.start == 0 else middle - 1)
        usable = (apart if inside.start == 0 else -apart) >= min(APART, length // 4)
        chosen = choose_references(clip.points, net.landmarks, net.config.references, usable)
        shown = clip.points[chosen][None].to(place)
        made = []
        for part in frames.split(net.config.frames if net.config.published else length):
            audio, points = (track[part][None].to(place) for track in (features, clip.points))
            motion, rest = model.motion(audio, points, shown, quiet)
            made.append(net.place(points, rest + motion)[0].float().cpu())
        halves.append(torch.cat(made)[inside])
    return torch.cat(halves).numpy()
