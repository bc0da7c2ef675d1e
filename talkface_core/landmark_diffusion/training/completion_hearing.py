"""The sound of completion's training windows as log-mels, for an acoustic model that is trained along, or for none.

Source: ours. Features of a frozen acoustic model are computed once (acoustic/training_features.py); one that learns has
to hear each window anew, so voices, rooms and noises are drawn anew as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...acoustic.training_batches import FRAMES_PER_BLOCK, STEPS_PER_BLOCK
from ...acoustic.training_features import GATED
from ...device import to_device
from ...media.timebase import FPS
from ...speech.features import LogMel
from ...speech.mel_augment import MelAugment, noise_mels
from ...speech.mel_windows import WINDOW, window_starts
from ...speech.vad import GateConfig, open_around

AROUND = 2 * FRAMES_PER_BLOCK
"""Frames that are heard before and after a window."""

_NOISES = 24


class WindowSounds:
    """The log-mels of windows and, as their 81st value, the gain of a gate that knows when somebody speaks."""

    every = FRAMES_PER_BLOCK
    """Windows begin at a multiple of so many frames, which is a whole number of steps."""

    def __init__(
        self, mels: Sequence[Tensor], speech: Sequence[NDArray[np.bool_] | None], frames: int, seed: int = 0
    ) -> None:
        self._mels, self._speech = mels, speech
        blocks = math.ceil(frames / FRAMES_PER_BLOCK) + 2 * AROUND // FRAMES_PER_BLOCK
        self.steps = blocks * STEPS_PER_BLOCK
        self._augment = replace(MelAugment(), reverb=(0.1, 0.5))
        self._noises = noise_mels(_NOISES, self.steps, seed)

    def of(self, clip: int, frames: NDArray[np.integer], rng: np.random.Generator, silent: bool = False) -> Tensor:
        """[S,81] of the steps around frames of a clip, in one of its versions, not yet in noise; or of silence."""
        known = self._mels[clip]
        mel = known[int(rng.integers(len(known)))]
        steps = (int(frames[0]) - AROUND) * STEPS_PER_BLOCK // FRAMES_PER_BLOCK + torch.arange(self.steps)
        inside = (steps >= 0) & (steps < len(mel)) & (not silent)
        heard = torch.where(inside[:, None], mel[steps.clamp(0, len(mel) - 1)].float(), LogMel.SILENCE)
        gated, speech = rng.random() < GATED, self._speech[clip]
        if not gated or speech is None:
            return torch.cat([heard, torch.ones(self.steps, 1)], 1)
        at = torch.div(steps * FRAMES_PER_BLOCK, STEPS_PER_BLOCK, rounding_mode="floor")
        spoken = torch.from_numpy(speech)[at.clamp(0, len(speech) - 1)] & inside
        return torch.cat([heard, open_around(spoken.float()[None], GateConfig())[0][:, None]], 1)

    def augmented(self, windows: Tensor, rng: np.random.Generator) -> Tensor:
        """Log-mels [B,S,80] of windows [B,S,81]: other voices, rooms and noises, then faded by the gate."""
        mel, gain = windows[..., :-1], windows[..., -1:]
        return LogMel.SILENCE + gain * (self._augment(mel, rng, self._noises) - LogMel.SILENCE)


def windows_within(mel: Tensor, frames: int) -> Tensor:
    """The windows [B,frames,80,16] of the published layout, of log-mels [B,S,80] that begin `AROUND` frames earlier."""
    starts = torch.tensor(window_starts(range(AROUND, AROUND + frames), FPS))
    steps = starts[:, None] + torch.arange(WINDOW)
    return mel[:, to_device(steps, mel.device)].transpose(2, 3)
