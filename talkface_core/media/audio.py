"""Audio input: from files and from AUDIO dicts, and the private mono copy that the models analyse.

The user's sound itself is never touched: it is streamed to the output as it came. Only the copy is mixed and resampled.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from ..errors import InputError
from .audio_reader import FileAudio
from .mixdown import Mixdown
from .source import AudioSource, audio_source
from .timebase import SAMPLE_RATE, resampled_count

__all__ = [
    "AudioSource",
    "analysis_audio",
    "analysis_blocks",
    "audio_source",
    "load_audio",
    "open_audio",
]


def open_audio(
    path: str | os.PathLike[str],
    start: float = 0.0,
    duration: float | None = None,
    check: Callable[[], None] | None = None,
    origin: Fraction | None = None,
) -> AudioSource:
    """Stream the sound of a file in bounded memory, from `start` for `duration` seconds (None: to the end).

    Both are exact to the sample and count from `origin`, in seconds of the file's clock: None is its first moment, of
    picture or sound. A duration beyond the end gives what is there. `check` is called all along while the
    file is decoded, here and later; what it raises stops the reading.
    Raises InputError: no such file, no audio stream, nothing that decodes, a negative start or one after the end.
    """
    return FileAudio(path, start, duration, check, origin)


def load_audio(path: str | os.PathLike[str], start: float = 0.0, duration: float | None = None) -> dict[str, Any]:
    """The sound of a file as an AUDIO dict: waveform float32 [1, C, N] at the file's own rate. See `open_audio`."""
    source = open_audio(path, start, duration)
    return {"waveform": torch.cat(list(source.blocks()), dim=1)[None], "sample_rate": source.sample_rate}


def analysis_blocks(source: AudioSource, rate: int = SAMPLE_RATE, seconds: float = 1.0) -> Iterator[Tensor]:
    """Mono float32 blocks [n] in -1..1 at `rate`: the channels mixed, resampled by soxr (HQ) as a stream.

    All blocks together are exactly ceil(N * rate / sample_rate) long, and sample n shows the time n / rate.
    Sound over full scale is clipped, as any player would.
    Raises InputError for empty sound and for NaN.
    """
    resample = None if source.sample_rate == rate else soxr.ResampleStream(source.sample_rate, rate, 1, dtype="float32")
    mix = Mixdown(source)
    taken = given = 0
    for block in source.blocks(seconds):
        taken += block.shape[1]
        mono = mix(block)
        if resample is not None:
            mono = torch.from_numpy(resample.resample_chunk(mono.numpy()))
        given += len(mono)
        if len(mono):
            yield mono.clamp(-1, 1)
    if taken == 0:
        raise InputError(f"{source.name} is empty; give at least one sample")
    missing = resampled_count(taken, source.sample_rate, rate) - given
    if resample is not None and missing:
        # soxr rounds the length; silence after the end lets the last samples out without a cut.
        silence = np.zeros(2 + 2 * source.sample_rate // rate, dtype=np.float32)
        yield torch.from_numpy(resample.resample_chunk(silence, last=True)[:missing]).clamp(-1, 1)


def analysis_audio(audio: Mapping[str, Any], rate: int = SAMPLE_RATE) -> Tensor:
    """The mono copy of an AUDIO dict as one float32 tensor [N]. See `analysis_blocks`."""
    return torch.cat(list(analysis_blocks(audio_source(audio), rate)))
