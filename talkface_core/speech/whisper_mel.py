"""What Whisper hears, and a sound of any length heard by it, in bounded memory.

Source: Radford et al. 2022, section 2.2, and the published feature extractor: 80 Slaney mels of a spectrogram of 25 ms
windows 10 ms apart, logarithm to the base of ten, no more than 80 dB below the loudest of the window, (x + 4) / 4.
Windows that overlap, and shorter ones than half a minute, are ours: a step never lies near an end of what was heard
around it, but for the sound's own ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..media.timebase import SAMPLE_RATE, frame_count
from ..sequences import StreamBuffer
from .features import FrontEnd
from .mel_scale import triangles
from .whisper import MELS, STEPS, WhisperEncoder

N_FFT, MEL_HOP, HOP = 400, 160, 320

OVERLAP = 5
"""Neighbouring windows share the fifth part of one; in the middle of it one gives way to the other."""

FADE = 30
"""It does so over the thirtieth part of one."""

_FLOOR, _RANGE = 1e-10, 8.0


@lru_cache(maxsize=1)
def mel_filters() -> NDArray[np.float32]:
    """Whisper's filters, float32 [80, 201], 0 to 8000 Hz."""
    return triangles(MELS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, N_FFT)


def whisper_mel(waveform: Tensor, steps: int = STEPS) -> Tensor:
    """Log-mel [80, 2 * steps] of samples [n] at 16 kHz, of which 320 * steps count (half a minute); silence fills what
    is missing."""
    samples = steps * HOP
    sound = F.pad(waveform.float()[:samples], (0, max(samples - len(waveform), 0)))
    window = torch.hann_window(N_FFT, device=sound.device)
    spectrum = torch.stft(sound, N_FFT, MEL_HOP, window=window, return_complex=True)[:, :-1]
    mel = torch.from_numpy(mel_filters()).to(sound.device) @ spectrum.abs().square()
    logarithm = mel.clamp_min(_FLOOR).log10()
    return (logarithm.maximum(logarithm.max() - _RANGE) + 4) / 4


class WhisperFeatures(FrontEnd):
    """The last layer of Whisper's encoder, 50 steps a second, step s over the samples from 320 * s on.

    It hears `steps` at a time, on the device and in the type that the encoder has; neighbouring windows share `overlap`
    of them, and `fade` of these mix both.
    """

    rate = Fraction(SAMPLE_RATE, HOP)

    def __init__(self, encoder: WhisperEncoder) -> None:
        self._encoder, self.dim, self.steps = encoder, encoder.config.width, encoder.config.steps
        self.overlap, self.fade = self.steps // OVERLAP, self.steps // FADE

    @property
    def samples(self) -> int:
        """Of a window."""
        return self.steps * HOP

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        sound = StreamBuffer(blocks)
        fade, samples = self.fade, self.samples
        edge = (self.overlap - fade) // 2
        ramp = ((torch.arange(fade) + 0.5) / fade)[:, None]
        first, tail = 0, None
        while True:
            # One sample more than is heard tells whether the sound goes on.
            heard, begin = sound.read(first * HOP, first * HOP + samples + 1)
            if heard is None:
                return
            heard = heard[first * HOP - begin :]
            last = len(heard) <= samples
            rows = self.window(heard)[: frame_count(len(heard), SAMPLE_RATE, self.rate)]
            if tail is not None:
                rows = rows[edge:]
                rows = torch.cat([torch.lerp(tail, rows[:fade], ramp), rows[fade:]])
            if last:
                yield rows
                return
            keep = len(rows) - (self.overlap - edge)
            yield rows[:keep]
            tail = rows[keep : keep + fade]
            first += self.steps - self.overlap

    @torch.no_grad()
    def window(self, waveform: Tensor) -> Tensor:
        """Steps [steps, dim], float32 on the CPU, of the window that begins with samples [n]."""
        weight = self._encoder.first.weight
        mel = whisper_mel(waveform.to(self._encoder.positions.device), self.steps)
        return self._encoder(mel[None].to(weight if weight is not None else mel))[0].float().cpu()
