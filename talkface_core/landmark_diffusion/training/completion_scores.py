"""How well completed landmarks say their sound, beside the true ones and beside a mouth that stays shut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from ...acoustic.training_features import HeardFeatures
from ...evaluation.metrics import pearson
from ...faces.landmarks import MOUTH, mouth_opening
from ..completion import LandmarkCompletion
from ..landmarks import choose_references
from .completion_batches import LandmarkClip

APART = 12
"""Frames between a half and the references of the other."""


@dataclass(frozen=True)
class LandmarkScores:
    """One clip's scores.

    opening: correlation of the inner lips' gap with the truth; spread: ratio of their deviations; error: mean distance
    of the lips' points from the truth's, by that of the clip's mean shut mouth; closed: share of p, b and m at which
    the mouth is shut, a frame early or late at most; silence: share of frames that are open where nothing is said;
    jitter: change of the lips' speed from frame to frame, by the truth's; other, footage: where the clip is made to say
    another one's sound, correlation of the opening with the other's truth, and with the clip's own beyond that which
    the other's truth has with it.
    """

    opening: float
    spread: float
    error: float
    closed: float
    silence: float
    jitter: float
    other: float = float("nan")
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
    truth, shut = clip.points.numpy(), clip.shut.numpy()
    said, real = mouth_opening(made), mouth_opening(truth)
    if not shut.any() or shut.all():
        shut = real <= np.quantile(real, 0.1)
    # A quarter of the way from shut lips to speaking ones.
    limit = 0.75 * real[shut].mean() + 0.25 * real[~shut].mean()
    held = truth[shut][:, MOUTH].mean(0)
    error = [np.linalg.norm(lips - truth[:, MOUTH], axis=-1).mean() for lips in (made[:, MOUTH], held)]
    near = np.clip(clip.closures[:, None] + np.arange(-1, 2), 0, len(said) - 1)
    tremble = [np.linalg.norm(np.diff(points[:, MOUTH], n=2, axis=0), axis=-1).mean(1) for points in (made, truth)]
    return LandmarkScores(
        opening=pearson(said, real),
        spread=float(said.std() / max(real.std(), 1e-9)),
        error=float(error[0] / max(error[1], 1e-9)),
        closed=float((said[near].min(1) <= limit).mean()) if len(near) else float("nan"),
        silence=float((mouth_opening(hushed) > limit).mean()),
        jitter=float(tremble[0].mean() / max(tremble[1].mean(), 1e-9)),
    )


@torch.no_grad()
def completion_scores(
    net: LandmarkCompletion, clips: Sequence[LandmarkClip], heard: HeardFeatures
) -> list[LandmarkScores]:
    """Of each clip over its own pose, with its clean sound and the references of `completed`."""
    scores = []
    for k, clip in enumerate(clips):
        other = (k + len(clips) // 2) % len(clips)
        own = clip_scores(completed(net, clip, heard, k), completed(net, clip, heard, None), clip)
        if other != k:
            said = mouth_opening(completed(net, clip, heard, other))
            count = min(len(said), len(clips[other]))
            theirs, real = (mouth_opening(c.points.numpy())[:count] for c in (clips[other], clip))
            beyond = pearson(said[:count], real) - pearson(theirs, real)
            own = replace(own, other=pearson(said[:count], theirs), footage=beyond)
        scores.append(own)
    return scores


@torch.no_grad()
def completed(
    net: LandmarkCompletion, clip: LandmarkClip, heard: HeardFeatures, index: int | None
) -> NDArray[np.float32]:
    """Landmarks [T,68,2] of a clip that says sound number `index` of `heard`, or none.

    Each half has references of the other one, so that they cannot tell the answer.
    """
    place, length = next(net.parameters()).device, len(clip)
    features = heard.silence[None] if index is None else heard.clips[index][0].float()
    features = features[torch.arange(length).clamp_max(len(features) - 1)]
    frames, middle = torch.arange(length), length // 2
    halves = []
    for inside in (slice(0, middle), slice(middle, length)):
        apart = frames - (middle if inside.start == 0 else middle - 1)
        usable = (apart if inside.start == 0 else -apart) >= min(APART, length // 4)
        chosen = choose_references(clip.points, net.landmarks, net.config.references, usable)
        inputs = (features, clip.points, clip.points[chosen])
        halves.append(net(*(part[None].to(place) for part in inputs))[0, inside].float().cpu())
    return torch.cat(halves).numpy()
