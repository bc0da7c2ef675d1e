"""Training patches of the SOVQAE: sharp ones cut from crops, each with its degraded version."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .degrade import Degradation, degrade
from .training_repainted import Repainted


@dataclass(frozen=True)
class SOVQAETraining:
    """What a batch is: `batch_size` patches of `patch` px (0: whole crops) cut `scales` times as large, resized.

    `repainted` is the share of inputs that a Wav2Lip painted, where there are such; of the others `stills` is the share
    of further crops, where there are such, and `soft` the share that went through as few lines as it paints. What they
    should become is sharp always. `flip` mirrors half of them; `colour` changes brightness, contrast and white by up to
    that share.
    """

    batch_size: int = 8
    patch: int = 0
    scales: tuple[float, float] = (1.0, 1.0)
    soft: float = 0.0
    repainted: float = 0.5
    stills: float = 0.3
    flip: bool = True
    colour: float = 0.0


class PatchSampler:
    """Draws batches of patches, `side` px square, from crops uint8 [N,S,S,3]; the same for the same generator.

    `repainted` are some of the crops as a Wav2Lip paints them, `stills` further crops.
    """

    def __init__(
        self,
        crops: NDArray[np.uint8],
        side: int,
        training: SOVQAETraining,
        repainted: Repainted | None = None,
        stills: NDArray[np.uint8] | None = None,
    ) -> None:
        self.crops, self.side, self.training, self.repainted, self.stills = crops, side, training, repainted, stills

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """`real` and `degraded`, uint8 [B, S, S, 3]: the sharp patches and what the encoder is shown of them; whose
        codes are decoded (`taught` [B]: 1 those of the sharp one) and how early they are quantised (`early` [B],
        0..1)."""
        chosen = np.sort(rng.integers(0, len(self.crops), self.training.batch_size))
        real, degraded = zip(*(self._pair(int(n), rng) for n in chosen), strict=True)
        batch = {name: torch.from_numpy(np.stack(frames)) for name, frames in (("real", real), ("degraded", degraded))}
        batch["taught"] = torch.from_numpy(rng.integers(0, 2, len(real)))
        batch["early"] = torch.from_numpy(rng.random(len(real), np.float32))
        return batch

    def _pair(self, chosen: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A sharp patch and what the encoder is shown of it."""
        if self.repainted is not None and rng.random() < self.training.repainted:
            n = int(rng.integers(len(self.repainted.index)))
            crop = self.crops[int(self.repainted.index[n])]
            painted = cv2.resize(self.repainted.frames[n], crop.shape[1::-1], interpolation=cv2.INTER_CUBIC)
            seed = int(rng.integers(2**62))
            return tuple(self._patch(picture, np.random.default_rng(seed)) for picture in (crop, painted))
        crop = self.crops[chosen]
        if self.stills is not None and rng.random() < self.training.stills:
            crop = self.stills[int(rng.integers(len(self.stills)))]
        real = self._patch(crop, rng)
        return real, degrade(real, Degradation.draw(rng)) if rng.random() < self.training.soft else real

    def _patch(self, crop: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        size, side, training = crop.shape[0], self.side, self.training
        cut = round(side * rng.uniform(*training.scales)) if training.patch else size
        # The lower half is what Wav2Lip paints: the higher of two draws lies lower.
        top, left = rng.integers(0, size - cut + 1, 2).max(), rng.integers(0, size - cut + 1)
        patch = crop[top : top + cut, left : left + cut]
        if cut != side:
            patch = cv2.resize(patch, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC)
        if training.flip and rng.random() < 0.5:
            patch = patch[:, ::-1]
        if training.colour:
            gain = 1 + training.colour * rng.uniform(-1, 1) + training.colour / 3 * rng.uniform(-1, 1, 3)
            patch = np.clip((patch - 128.0) * gain + 128 + 80 * training.colour * rng.uniform(-1, 1), 0, 255)
        return np.ascontiguousarray(patch, np.uint8)
