"""What Wav2Lip hears at each frame: windows of the log-mel, as published, features of the acoustic model, or of an ear
in its place, or both beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import tee

import torch
from torch import Tensor

from ..acoustic.closing import hushed
from ..acoustic.hearing import hear_faded
from ..acoustic.model import AcousticModel
from ..acoustic.stream import AFTER, FeatureStream, quiet_features, silence, stream_into_silence
from ..media.audio import AudioSource
from ..media.timebase import FPS, Rate
from ..speech.features import LogMel
from ..speech.mel_windows import WINDOW, WindowStream
from ..speech.vad import gated_mel
from .model import Wav2LipModel

_HELD = AFTER / (2 * LogMel.rate)  # seconds


class BothStream:
    """Windows and features of the same frames, in rows [T,1280 + width]."""

    def __init__(self, windows: WindowStream, features: FeatureStream) -> None:
        self._windows, self._features = windows, features

    def at(self, frames: Sequence[int]) -> Tensor:
        """The rows of these frames, which rise, as of both streams."""
        return torch.cat([self._windows.at(frames).flatten(1), self._features.at(frames)], 1)


class ClosingStream:
    """What is heard, the nearer to silence the likelier the acoustic model hears p, b or m: see `hushed`."""

    def __init__(self, heard: FeatureStream | BothStream, quiet: Tensor, acoustic: AcousticModel, most: float) -> None:
        """quiet [W]: what is heard in silence; most: how far it goes at best."""
        self._heard, self._quiet, self._acoustic, self._most = heard, quiet, acoustic, most

    def at(self, frames: Sequence[int]) -> Tensor:
        """The rows of these frames, which rise."""
        return hushed(self._heard.at(frames), self._quiet, self._acoustic, self._most)


Speech = WindowStream | FeatureStream | BothStream | ClosingStream
"""The speech of each frame, `at` whose numbers it is given."""


def listen(lips: Wav2LipModel, source: AudioSource, fps: Rate) -> Speech:
    """What each frame hears of a sound, in which all but speech is faded to silence: see `hear`.

    An ear (`lips.ear`) listens in the acoustic model's place.
    """
    place = lips.wav2lip.pixels.weight.device if lips.gate is None else next(lips.gate.parameters()).device
    return _heard(lips, gated_mel(source, lips.gate, place), fps, source)


def hear(lips: Wav2LipModel, mel: Iterable[Tensor], fps: Rate) -> Speech:
    """The speech of each frame of a log-mel that comes in blocks [s,80].

    Windows [T,1,80,16]; features [T,width] for a Wav2Lip that has an acoustic model; rows of both
    [T,1280 + width] for one that hears both.
    """
    return _heard(lips, mel, fps)


def _heard(lips: Wav2LipModel, mel: Iterable[Tensor], fps: Rate, source: AudioSource | None = None) -> Speech:
    config = lips.wav2lip.config
    if lips.acoustic is None:
        return WindowStream(mel, fps, config.mel_shift)
    own, mel = tee(mel)
    if lips.ear is None or source is None:
        features = stream_into_silence(lips.acoustic, mel)
    else:
        features = hear_faded(lips.acoustic, mel, source, lips.ear)
    alone = FeatureStream(features, lips.acoustic.config.fps, fps)
    heard = BothStream(WindowStream(own, fps, config.mel_shift), alone) if config.also_mel else alone
    if not config.closing:
        return heard
    # The row of a frame in a long silence.
    quiet = quiet_features(lips.acoustic)
    if config.also_mel:
        quiet = torch.cat([quiet.new_full((LogMel.dim * WINDOW,), LogMel.SILENCE), quiet])
    return ClosingStream(heard, quiet, lips.acoustic, config.closing)


def hear_silence(lips: Wav2LipModel, frames: int) -> Tensor:
    """The speech of so many frames in which nobody speaks."""
    one = hear(lips, [silence()], FPS).at([int(2 * _HELD * FPS)])
    return one.expand(frames, *one.shape[1:])
