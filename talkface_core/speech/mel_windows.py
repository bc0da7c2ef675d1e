"""Windows of the log-mel around frames: one convention for training, inference and the sync score.

Wav2Lip (Prajwal et al. 2020) hears 16 mel steps (0.2 s, five frames at 25 per second) at a time, and its public code
places them differently in training, in inference and for the expert. Here the window of a frame is the 16 steps centred
on the frame's centre, and the window of five frames the one of the middle frame. Weights that were trained with another
placement bring a shift in seconds (see ladtalk/convert.py), so nothing else needs to know of it.
"""

from collections.abc import Iterable
from fractions import Fraction

import torch
from torch import Tensor

from ..media.timebase import Rate, frame_centre, step_at
from ..sequences import StreamBuffer
from .features import LogMel

WINDOW = 16
"""Mel steps of one window."""

FRAMES = 5
"""Frames of 1/25 s that one window spans."""


def window_starts(frames: Iterable[int], fps: Rate, shift: Fraction | float = 0) -> list[int]:
    """First mel step of each frame's window; below zero or near the end a window reaches beyond the sound.

    `shift` in seconds moves every window later.
    """
    moved = Fraction(shift).limit_denominator(10_000)
    return [step_at(frame_centre(k, fps) + moved, LogMel.rate) - WINDOW // 2 for k in frames]


def mel_windows(mel: Tensor, frames: Iterable[int], fps: Rate, shift: Fraction | float = 0) -> Tensor:
    """Log-mel [S,80] -> the windows of the frames [F,1,80,16]; beyond the sound there is silence."""
    return cut_windows(mel, torch.tensor(window_starts(frames, fps, shift), dtype=torch.long))


def cut_windows(mel: Tensor, starts: Tensor) -> Tensor:
    """The windows [F,1,80,16] of a log-mel [S,80] that begin at steps `starts` [F]; silence beyond its ends."""
    steps = starts[:, None] + torch.arange(WINDOW)
    inside = (steps >= 0) & (steps < len(mel))
    if not len(mel):
        return mel.new_full((len(starts), 1, LogMel.dim, WINDOW), LogMel.SILENCE)
    picked = mel[steps.clamp(0, len(mel) - 1).to(mel.device)]
    picked = torch.where(inside[..., None].to(mel.device), picked, torch.full_like(picked, LogMel.SILENCE))
    return picked.transpose(1, 2)[:, None]


class WindowStream:
    """The windows of rising frames, of a log-mel that comes in blocks [s,80]; only what is still needed is held."""

    def __init__(self, blocks: Iterable[Tensor], fps: Rate, shift: Fraction | float = 0) -> None:
        self._stream, self._fps, self._shift = StreamBuffer(blocks), fps, shift

    def at(self, frames: Iterable[int]) -> Tensor:
        """The windows of these frames [F,1,80,16], equal to those of `mel_windows`; silence after the end.

        Frames rise and may be left out. What was asked for last can be asked for again, whole or in parts; what lies
        before that is gone.
        """
        starts = window_starts(frames, self._fps, self._shift)
        mel, first = self._stream.read(starts[0], starts[-1] + WINDOW)
        mel = torch.zeros(0, LogMel.dim) if mel is None else mel
        return cut_windows(mel, torch.tensor(starts, dtype=torch.long) - first)
