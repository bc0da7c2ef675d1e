"""Channels mixed to one so that what is in them is still there.

The mean of a stereo pair of which one side is inverted (a balanced cable, a wrong plug) is silence. So where the mean
loses most of the channels' energy, those that oppose the strongest are turned round first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .source import AudioSource

# Energy of the sum by the sum of energies: 1 for channels that have nothing in common, 0 for opposed ones.
_LOST, _THERE = 0.1, 0.5
_QUIET = 0.01  # of the recent energy: so quiet a block decides nothing
_FADING = 0.8  # of the recent energy, a block
_PASSING = 0.02  # seconds from one mix to another


class Mixdown:
    """Blocks of a source mixed to mono, each [C, n] to [n]: the mean of the channels as long as it keeps the sound.

    Which channels are turned round is decided block by block and kept until the plain mean has the sound again, through
    pauses too. The source warns once when any are.
    """

    def __init__(self, source: AudioSource) -> None:
        self._source, self._passing = source, max(1, math.ceil(_PASSING * source.sample_rate))
        self._signs: Tensor | None = None
        self._recent = 0.0
        self._told = False

    def __call__(self, block: Tensor) -> Tensor:
        plain, before = block.mean(dim=0), self._signs
        self._signs = self._chosen(block, plain)
        mono = self._mixed(block, plain, self._signs)
        if self._signs is not before:
            first = min(self._passing, block.shape[1])
            old = self._mixed(block[:, :first], plain[:first], before)
            mono = torch.cat([old.lerp(mono[:first], torch.linspace(0, 1, first)), mono[first:]])
        return mono

    def _mixed(self, block: Tensor, plain: Tensor, signs: Tensor | None) -> Tensor:
        return plain if signs is None else (block * signs[:, None]).mean(dim=0)

    def _chosen(self, block: Tensor, plain: Tensor) -> Tensor | None:
        """The signs [C] of the channels in this block, 1 or -1; None: all 1."""
        if len(block) == 1:
            return None
        energy = block.flatten().dot(block.flatten()).item()
        self._recent = max(energy, _FADING * self._recent)
        if energy <= _QUIET * self._recent:
            return self._signs
        ratio = len(block) ** 2 * plain.dot(plain).item() / energy
        if ratio > _THERE:
            return None
        if ratio > _LOST or self._signs is not None:
            return self._signs
        strongest = block[block.square().sum(1).argmax()]
        if not self._told:
            self._told = True
            lost = -10 * math.log10(max(ratio, 1e-9))
            self._source.warn(
                f"has channels that cancel each other: mixed to one they lose {lost:.0f} dB. For the mouth those that "
                "are inverted are turned round; what is heard stays as it is"
            )
        return torch.where(block @ strongest < 0, -1.0, 1.0)
