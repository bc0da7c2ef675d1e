"""The audio source interface: sound that is read from the beginning, block by block, as often as needed.

The AUDIO dict is ComfyUI's: {"waveform": float Tensor [B, C, N] in -1..1, "sample_rate": int}.
"""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..errors import InputError
from .timebase import step_at

log = logging.getLogger(__name__)

# Float files do go over full scale, by 1 or even 10; a hundred times (+40 dB) means that the scale is wrong.
LOUDEST = 100.0

HIGHEST_RATE = 3_000_000
"""Samples a second that sound may have, which is what one-bit audio has."""

_FULL_SCALE = {torch.int8: 2.0**7, torch.int16: 2.0**15, torch.int32: 2.0**31}


class AudioSource(ABC):
    """Sound that can be streamed.

    sample_rate: in Hz. channels: at least 1. layout: FFmpeg's name of where they are heard, where it is known. name:
    for messages. path: the file it is read from, if there is one.
    """

    sample_rate: int
    channels: int
    layout: str | None = None
    name: str = "audio"
    path: Path | None = None
    _told: frozenset[str] = frozenset()

    @abstractmethod
    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        """Float32 tensors [channels, n] on the CPU, n > 0, each of `seconds` but the last; every call begins anew.

        Raises InputError when there is no sound at all, and for NaN and infinite samples.
        """

    @abstractmethod
    def num_samples(self) -> int:
        """Exact number of samples per channel that `blocks` yields. May have to decode everything once."""

    def warn(self, what: str) -> None:
        """Log a warning that begins with the source's name, each once however often the source is read."""
        if what not in self._told:
            self._told |= {what}
            log.warning("%s %s", self.name, what)


class MemoryAudio(AudioSource):
    """Source over a waveform tensor [B, C, N] (the first item of the batch), [C, N] or [N]; it is never changed."""

    def __init__(self, waveform: Tensor, sample_rate: int) -> None:
        if waveform.ndim not in (1, 2, 3):
            raise InputError(f"audio waveform has shape {list(waveform.shape)}; expected [batch, channels, samples]")
        if waveform.numel() == 0:
            raise InputError(f"audio is empty (waveform of shape {list(waveform.shape)}); give at least one sample")
        first = waveform.detach()[0] if waveform.ndim == 3 else waveform.detach()
        self._waveform = first.reshape(-1, first.shape[-1])
        self.sample_rate = whole_rate(sample_rate)
        self.channels = len(self._waveform)
        for _ in self.blocks(seconds=60.0):  # a fault is told now, before any work is done on the sound
            pass

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        for block in self._waveform.split(block_size(seconds, self.sample_rate), dim=1):
            yield checked(to_float(block), self.name)

    def num_samples(self) -> int:
        return self._waveform.shape[1]


class FirstSeconds(AudioSource):
    """Of a source what lies before `seconds`, rounded up to a whole sample; a shorter one as it is."""

    def __init__(self, source: AudioSource, seconds: Fraction | float) -> None:
        self._source, self._most = source, max(1, math.ceil(seconds * source.sample_rate))
        self.sample_rate, self.channels, self.layout = source.sample_rate, source.channels, source.layout
        self.name, self.path = source.name, source.path

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        left = self._most
        for block in self._source.blocks(seconds):
            yield block[:, :left]
            left -= block.shape[1]
            if left <= 0:
                return

    def num_samples(self) -> int:
        return min(self._source.num_samples(), self._most)


def audio_source(audio: Mapping[str, Any]) -> AudioSource:
    """Source over an AUDIO dict in memory. Integer waveforms (int8, int16, int32, uint8) are scaled to -1..1.

    Raises InputError when the dict is no AUDIO, or its sound is empty, NaN or infinite, or far out of scale.
    """
    if audio is None:
        raise InputError("there is no audio (None); a silent video has no sound to speak from")
    if not isinstance(audio, Mapping) or not {"waveform", "sample_rate"} <= set(audio):
        raise InputError(f'not an AUDIO: expected a dict with "waveform" and "sample_rate", got {type(audio).__name__}')
    try:
        waveform = torch.as_tensor(audio["waveform"])
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"an AUDIO's waveform is a tensor [batch, channels, samples]; this one is none ({error})"
        ) from error
    if waveform.layout is not torch.strided or waveform.is_meta or waveform.is_quantized:
        raise InputError("an AUDIO's waveform is a plain tensor [batch, channels, samples]; this one holds no samples")
    return MemoryAudio(waveform, audio["sample_rate"])


def to_float(samples: Tensor) -> Tensor:
    """Samples of any integer or float type as float32 on the CPU; integers are divided by their full scale."""
    if samples.dtype == torch.uint8:
        return (samples.to("cpu", torch.float32) - 128) / 128
    if samples.dtype in _FULL_SCALE:
        return samples.to("cpu", torch.float32) / _FULL_SCALE[samples.dtype]
    if not samples.dtype.is_floating_point:
        raise InputError(f"audio samples of type {samples.dtype} are not sound; give float in -1..1 or int16")
    return samples.to("cpu", torch.float32)


def checked(block: Tensor, name: str) -> Tensor:
    """The same block, after making sure that every sample is a finite number of a believable size."""
    peak = block.abs().max().item()
    if not peak < float("inf"):  # also true of NaN
        bad = int((~torch.isfinite(block)).sum())
        raise InputError(f"{name} holds {bad} samples that are NaN or infinite; export it again without them")
    if peak > LOUDEST:
        raise InputError(f"{name} peaks at {peak:.0f}, where full scale is 1: divide 16-bit samples by 32768")
    return block


def block_size(seconds: float, sample_rate: int) -> int:
    """Samples in a block of about `seconds`, at least one."""
    return max(1, step_at(Fraction(seconds), sample_rate))


def reblock(pieces: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Tensors [C, any] joined and cut again into [C, size], the last one shorter; holds one block at a time."""
    buffer: list[Tensor] = []
    count = 0
    for piece in pieces:
        buffer.append(piece)
        count += piece.shape[1]
        if count >= size:
            joined = torch.cat(buffer, dim=1)
            whole = count - count % size
            yield from joined[:, :whole].split(size, dim=1)
            buffer, count = [joined[:, whole:].clone()], count - whole
    if count:
        yield torch.cat(buffer, dim=1)


def interleaved(samples: Tensor, channels: int) -> Tensor:
    """Packed samples [n * channels] as planes [channels, n]."""
    return rearrange(samples, "(n c) -> c n", c=channels)


def whole_rate(sample_rate: Any, name: str = "audio") -> int:
    """A sample rate in Hz as a whole number. Raises InputError, which calls the sound `name`, for one of no sound."""
    try:
        rate = int(sample_rate)
        if rate != sample_rate or rate <= 0:
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"sample rate {sample_rate!r} is not a whole number above zero; give it in Hz") from error
    if rate > HIGHEST_RATE:
        raise InputError(f"{name} is at {rate} Hz, where sound has {HIGHEST_RATE} at most; is its header damaged?")
    return rate
