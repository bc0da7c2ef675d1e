"""What Wav2Lip hears at each frame: windows of the log-mel, as published, or features of the acoustic model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import Tensor

from ..acoustic.stream import FeatureStream, stream_features
from ..media.timebase import FPS, Rate
from ..speech.features import LogMel
from ..speech.mel_windows import WindowStream
from .model import Wav2LipModel

AFTER = 320
"""Steps of silence behind every sound, in which the mouth shuts: four seconds, of which the first two are heard. The
others are context: where a sound ends, the acoustic model has not learnt what a mouth does."""

_HELD = AFTER / (2 * LogMel.rate)  # seconds


def hear(lips: Wav2LipModel, mel: Iterable[Tensor], fps: Rate) -> WindowStream | FeatureStream:
    """The speech of each frame, `at` whose numbers it is given, of a log-mel that comes in blocks [s,80].

    Windows [T,1,80,16], or features [T,width] for a Wav2Lip that has an acoustic model.
    """
    if lips.acoustic is None:
        return WindowStream(mel, fps, lips.wav2lip.config.mel_shift)
    rate = lips.acoustic.config.fps
    features = _without_end(stream_features(lips.acoustic, chain(mel, [_silence()])), int(_HELD * rate))
    return FeatureStream(features, rate, fps)


def hear_silence(lips: Wav2LipModel, frames: int) -> Tensor:
    """The speech of so many frames in which nobody speaks."""
    one = hear(lips, [_silence()], FPS).at([int(2 * _HELD * FPS)])
    return one.expand(frames, *one.shape[1:])


def _without_end(blocks: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """Blocks [n,...] without the last `count` rows."""
    held: Tensor | None = None
    for block in blocks:
        held = block if held is None else torch.cat([held, block])
        if len(held) > count:
            yield held[:-count]
            held = held[-count:]


def _silence() -> Tensor:
    return torch.full((AFTER, LogMel.dim), LogMel.SILENCE)
