"""Invented scores of clips, for tests of what is made of them."""

from __future__ import annotations

import numpy as np

from talkface_core.evaluation.catalogue import METRICS
from talkface_core.evaluation.evaluate import ClipScores, Evaluation, Moment

KEYS = ("psnr_face", "lmd", "offset")


def clip(name: str, lmd: float, seed: int = 0, frames: int = 50) -> ClipScores:
    """A clip whose mouth is so far off, with a sound, pauses and a closure."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 256, (2, 3, 32, 32, 3), dtype=np.uint8)
    wave = np.abs(rng.normal(0, 0.2, frames)).astype(np.float32)
    return ClipScores(
        name,
        frames,
        values={"psnr_face": 30 - lmd, "lmd": lmd, "offset": -1.0},
        real={"psnr_face": 100.0, "lmd": 0.0, "offset": 0.0},
        left_out={"closures": "it is not known where p, b and m are"},
        openings=rng.uniform(0, 0.2, (2, frames)).astype(np.float32),
        open_from=0.05,
        envelope=np.stack([-wave, wave], 1),
        pauses=np.arange(frames) < 8,
        closures=np.array([20]),
        curves={},
        moments=(Moment(name, 12, "lmd", 2 * lmd, 2 * lmd, faces[0, 0], faces[1, 0]),),
        strip=faces,
        strip_at=(10, 25, 40),
    )


def evaluation(*lmds: float) -> Evaluation:
    """Clips a, b, c, … of these distances."""
    clips = tuple(clip(chr(ord("a") + n), lmd, n) for n, lmd in enumerate(lmds))
    return Evaluation(clips, {key: METRICS[key] for key in (*KEYS, "closures")}, {"generated": "<made>"})
