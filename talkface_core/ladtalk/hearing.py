"""What Wav2Lip hears at each frame: windows of the log-mel, as published, or features of the acoustic model."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ..acoustic.stream import AFTER, FeatureStream, silence, stream_into_silence
from ..media.timebase import FPS, Rate
from ..speech.features import LogMel
from ..speech.mel_windows import WindowStream
from .model import Wav2LipModel

_HELD = AFTER / (2 * LogMel.rate)  # seconds


def hear(lips: Wav2LipModel, mel: Iterable[Tensor], fps: Rate) -> WindowStream | FeatureStream:
    """The speech of each frame, `at` whose numbers it is given, of a log-mel that comes in blocks [s,80].

    Windows [T,1,80,16], or features [T,width] for a Wav2Lip that has an acoustic model.
    """
    if lips.acoustic is None:
        return WindowStream(mel, fps, lips.wav2lip.config.mel_shift)
    rate = lips.acoustic.config.fps
    return FeatureStream(stream_into_silence(lips.acoustic, mel), rate, fps)


def hear_silence(lips: Wav2LipModel, frames: int) -> Tensor:
    """The speech of so many frames in which nobody speaks."""
    one = hear(lips, [silence()], FPS).at([int(2 * _HELD * FPS)])
    return one.expand(frames, *one.shape[1:])
