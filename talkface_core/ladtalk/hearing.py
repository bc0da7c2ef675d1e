"""What Wav2Lip hears at each frame: windows of the log-mel, as published, or features of the acoustic model, or of a
better ear in its place."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from ..acoustic.hearing import hear_faded
from ..acoustic.stream import AFTER, FeatureStream, silence, stream_into_silence
from ..media.audio import AudioSource
from ..media.timebase import FPS, Rate
from ..speech.features import LogMel
from ..speech.mel_windows import WindowStream
from ..speech.vad import gated_mel
from .model import Wav2LipModel

_HELD = AFTER / (2 * LogMel.rate)  # seconds


def listen(lips: Wav2LipModel, source: AudioSource, fps: Rate) -> WindowStream | FeatureStream:
    """What each frame hears of a sound, in which all but speech is faded to silence: see `hear`.

    An ear (`lips.ear`) listens in the acoustic model's place.
    """
    place = lips.wav2lip.pixels.weight.device if lips.gate is None else next(lips.gate.parameters()).device
    faded = gated_mel(source, lips.gate, place)
    if lips.acoustic is None or lips.ear is None:
        return hear(lips, faded, fps)
    return FeatureStream(hear_faded(lips.acoustic, faded, source, lips.ear), lips.acoustic.config.fps, fps)


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
