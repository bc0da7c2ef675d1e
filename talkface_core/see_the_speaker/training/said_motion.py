"""What a motion diffusion says to clips' sounds: to measure it, and as training data of what comes behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...acoustic.training_features import HeardFeatures
from ...datasets.clips import ClipSet
from ...training.frame_cache import CacheKey, cached_file, stats
from ..motion_diffusion import Before, MotionDiffusion, MotionSampling
from .motion_clips import MotionClip


@dataclass(frozen=True)
class MotionData:
    """Clips, what is heard in them, and where they come from."""

    clips: Sequence[MotionClip]
    heard: HeardFeatures
    name: str = "clips"


@torch.no_grad()
def sampled(
    net: MotionDiffusion, data: MotionData, index: int, seed: int = 0, sampling: MotionSampling | None = None
) -> Tensor:
    """Motion values [T,3K+7] to a clip's clean sound, window after window."""
    return said(net, data, index, 1, seed, sampling)[0]


@torch.no_grad()
def said(
    net: MotionDiffusion,
    data: MotionData,
    index: int,
    variants: int,
    seed: int = 0,
    sampling: MotionSampling | None = None,
) -> Tensor:
    """Motion values [N,T,3K+7] to the first N variants of a clip's sound, window after window."""
    clip, config = data.clips[index], net.config
    features = data.heard.clips[index][:variants].float()
    if config.prosody:
        features = torch.cat([features, clip.prosody.expand(len(features), -1, -1)], 2)
    made: list[Tensor] = []
    before: Before | None = None
    for n, first in enumerate(range(0, len(clip), config.frames)):
        rows = features[:, (first + torch.arange(config.frames)).clamp_max(len(clip) - 1)]
        heard = net.hear(rows.to(net.null_audio))
        values = net.say(heard, before, 1000 * seed + 10 * index + n, sampling)
        before = Before(values[:, -config.previous :], heard[:, -config.previous :])
        made.append(net.denormalise(values).float().cpu())
    return torch.cat(made, 1)[:, : len(clip)]


def said_clips(motion: MotionDiffusion, data: MotionData, takes: int, seed: int = 0) -> list[Tensor]:
    """What a diffusion says to the first `takes` variants of each clip's sound: float16 [takes,T,3K+7], normalised."""
    every = range(len(data.clips))
    return [motion.normalise(said(motion, data, k, takes, seed)).half() for k in every]


def said_key(folder: Path, motion: Path, takes: int, seed: int) -> CacheKey:
    """What a motion checkpoint says to a folder's sounds follows from."""
    return CacheKey("said", folder, (takes, seed), [*stats([motion]), *stats(ClipSet.open(folder).files)])


def cached_said(motion: MotionDiffusion, data: MotionData, key: CacheKey, cache_dir: Path) -> Sequence[Tensor]:
    """`said_clips` from the cache; `key` has the takes and the seed as its settings."""

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.save(file, torch.cat(said_clips(motion.eval(), data, *key.settings), 1).numpy())

    stored = np.load(cached_file(key, cache_dir, ".npy", write), allow_pickle=False)
    return torch.from_numpy(stored).split([len(clip) for clip in data.clips], 1)
