"""Prosody: loudness and pitch of speech over time, by which heads nod and brows rise.

Source: ours. See the Speaker's encoder is a large one that hears melody as well; the small acoustic model was taught
visemes, and has forgotten it. Pitch is the peak of the autocorrelation (Rabiner 1977) between 60 and 400 Hz.
Everything is local in time, so a stream gives what the whole gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from ..media.timebase import FPS, SAMPLE_RATE, frame_count
from ..sequences import StreamBuffer
from ..speech.features import FrontEnd

_HOP = SAMPLE_RATE // FPS
_WINDOW = 1024
_LAGS = (40, 267)
"""Samples: 400 to 60 Hz."""

_OCTAVE_COST = 0.15
"""How much less a peak at the longest lag counts than one at lag 0: an octave too low is the usual mistake."""

_MIDDLE = 7.3
"""log2 of the pitch in Hz that is called 0, 158 Hz."""

_QUIETEST = 60.0
"""Decibels below full scale that are called 0."""

AROUND = 25
"""Frames to either side that loudness and pitch are compared with."""


class Prosody(FrontEnd):
    """Seven values a frame at 25 frames a second: loudness 0..1 (60 dB), loudness against the second before and after,
    its change; voicing 0..1; pitch in octaves about 158 Hz, against its mean in the second before and after, its
    change; all pitch is 0 where nothing is voiced."""

    dim = 7
    rate = Fraction(FPS)
    offset = Fraction(1, 2 * FPS)

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        raw, done = StreamBuffer(_measured(blocks)), 0
        reach = AROUND + 1
        while True:
            rows, first = raw.read(max(done - reach, 0), done + FPS + reach)
            if rows is None or first + len(rows) <= done:
                return
            ready = min(FPS, first + len(rows) - done)
            yield _compared(rows)[done - first : done - first + ready]
            done += ready


SILENT = torch.zeros(Prosody.dim)
"""The prosody [7] of digital silence."""


def _measured(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Rows [n,3] of sound in blocks: loudness, log2 of the pitch, voicing."""
    ahead = _WINDOW // 2 - _HOP // 2
    buffer, total, done = torch.zeros(ahead), 0, 0
    for block in blocks:
        buffer, total = torch.cat([buffer, block.float()]), total + len(block)
        count = (len(buffer) - _WINDOW) // _HOP + 1
        if count > 0:
            yield _frames(buffer[: (count - 1) * _HOP + _WINDOW])
            buffer, done = buffer[count * _HOP :], done + count
    count = frame_count(total, SAMPLE_RATE, FPS) - done
    if count > 0:
        end = (count - 1) * _HOP + _WINDOW
        yield _frames(F.pad(buffer, (0, max(end - len(buffer), 0)))[:end])


def _frames(samples: Tensor) -> Tensor:
    """Rows [n,3] of samples [(n - 1) hop + window]."""
    frames = samples.unfold(0, _WINDOW, _HOP)
    frames = frames - frames.mean(1, keepdim=True)
    power = frames.square().mean(1)
    loudness = (1 + 10 * torch.log10(power.clamp_min(1e-12)) / _QUIETEST).clamp(0, 1)
    window = torch.hann_window(_WINDOW)
    same, bare = (_autocorrelation(part) for part in (frames * window, window[None]))
    first, stop = _LAGS
    share = same[:, first:stop] / same[:, :1].clamp_min(1e-9) / (bare / bare[:, :1])[:, first:stop]
    lags = torch.arange(first, stop)
    best = (share * (1 - _OCTAVE_COST * lags / stop)).argmax(1)
    voicing = share.gather(1, best[:, None])[:, 0].clamp(0, 1) * (loudness > 0.1)
    pitch = torch.log2(SAMPLE_RATE / lags[best].float())
    return torch.stack([loudness, pitch, voicing], 1)


def _autocorrelation(frames: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(frames, 2 * _WINDOW).abs().square())[:, :_WINDOW]


def _compared(rows: Tensor) -> Tensor:
    """The seven values [n,7] of measured rows [n,3]."""
    loudness, pitch, voicing = rows.unbind(1)
    voiced = (voicing > 0.5).float()
    usual = _mean(pitch, voiced)
    against = (pitch - usual) * voiced
    both = voiced[1:] * voiced[:-1]
    rising = _change((pitch[1:] - pitch[:-1]).clamp(-0.5, 0.5) * both)
    louder = _change(loudness[1:] - loudness[:-1])
    usually = _mean(loudness, torch.ones_like(loudness))
    values = (loudness, loudness - usually, louder, voicing, (pitch - _MIDDLE) * voiced, against, 4 * rising)
    return torch.stack(values, 1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean [n] over the frames around each."""
    kernel = torch.ones(1, 1, 2 * AROUND + 1)
    total, weights = (F.conv1d(part[None, None], kernel, padding=AROUND)[0, 0] for part in (values * weight, weight))
    return total / weights.clamp_min(1e-6)


def _change(steps: Tensor) -> Tensor:
    """What changes about each of n frames, of the n - 1 steps between them."""
    padded = F.pad(steps, (1, 1))
    return (padded[1:] + padded[:-1]) / 2
