"""Degrades crops to what Wav2Lip hands on: few lines, soft, all of it or the mouth's half (ours; see the card).

LaDTalk trains on sharp frames alone (v3). Whether soft ones help an encoder that people share is a matter of measuring:
recipe_sovqae.py has the share of soft inputs as a setting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WAV2LIP_LINES = 96 / 256
"""Lines of Wav2Lip's face per line of a crop."""


@dataclass(frozen=True)
class Degradation:
    """What one crop goes through: `lines` per line of the crop, a blur of `sigma` px of the small picture before it
    grows again, cubic or linear, and the row (share of the height) below which it holds, 0 for the whole crop."""

    lines: float = WAV2LIP_LINES
    sigma: float = 0.0
    cubic: bool = True
    below: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Degradation:
        """Around what Wav2Lip does: sharper and softer, half of the crops from some row downwards only."""
        return cls(
            lines=WAV2LIP_LINES * float(rng.uniform(0.75, 1.2)),
            sigma=float(max(0.0, rng.uniform(-0.4, 1.0))),
            cubic=bool(rng.random() < 0.5),
            below=float(rng.uniform(0.1, 0.7)) if rng.random() < 0.5 else 0.0,
        )


def degrade(crop: NDArray[np.uint8], degradation: Degradation) -> NDArray[np.uint8]:
    """A crop [S, S, 3] uint8 as it comes out of few lines."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    size = crop.shape[0]
    few = max(4, round(size * degradation.lines))
    small = cv2.resize(crop, (few, few), interpolation=cv2.INTER_AREA)
    if degradation.sigma > 0.1:
        small = cv2.GaussianBlur(small, (0, 0), degradation.sigma)
    soft = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC if degradation.cubic else cv2.INTER_LINEAR)
    if not degradation.below:
        return soft
    # Feathered over a twelfth of the crop, as a pasted mouth is.
    share = np.clip((np.linspace(0, 1, size) - degradation.below) * 12 + 0.5, 0, 1)[:, None, None]
    return (crop + share * (soft.astype(np.float64) - crop) + 0.5).astype(np.uint8)
