"""What speech2latent hears of a sound: the log-mel, features of an acoustic model or of an ear in its place, or those
of a host's speech encoder. All but speech is faded to silence, but in what an encoder hears."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..acoustic.hearing import hear_faded
from ..acoustic.stream import mel_step, quiet_features
from ..media.audio import AudioSource, analysis_blocks
from ..speech.features import EncodedAudio, LogMel
from ..speech.vad import warn_of_no_speech
from ..stage_timer import OTHER, StageTimer
from .model import SpeechModel
from .speech2latent import HEARD
from .windows import feature_span


@dataclass(frozen=True)
class Heard:
    """front: the projection that reads it, by name; features: blocks [s,dim]."""

    front: str
    features: Iterable[Tensor]


def listen(
    speech: SpeechModel, source: AudioSource, encoded: EncodedAudio | None = None, timer: StageTimer | None = None
) -> Heard:
    """What the model hears of a sound; an ear (`speech.ear`) listens in the acoustic model's place.

    `encoded`: features of the same sound from a large speech encoder, for a model that was trained on them; raises
    InputError where it was not. Warns of a sound without speech.
    """
    timer, place = timer or StageTimer(), speech.compute_device
    front, extractor = speech.speech2latent.config.hears, LogMel() if encoded is None else encoded
    if encoded is not None:
        kinds = speech.speech2latent.config.fronts.items()
        fits = [name for name, kind in kinds if (kind.dim, kind.exact_rate) == (encoded.dim, encoded.rate)]
        front = fits[0] if fits else "of an audio encoder"
        speech.speech2latent.front(front, encoded.dim)
    warn_of_no_speech(source, speech.gate, place)
    features: Iterable[Tensor] = timer.stream(OTHER, extractor.stream(analysis_blocks(source)))
    if encoded is not None:
        return Heard(front, features)
    if speech.gate is not None:
        features = speech.gate.stream(block.to(place) for block in features)
    if speech.acoustic is not None:
        features = hear_faded(speech.acoustic, features, source, speech.ear)
    return Heard(front, features)


def silent_step(speech: SpeechModel) -> Tensor:
    """What the model hears at each step of a silence by itself: [dim], on the CPU."""
    if speech.acoustic is None:
        return torch.full((LogMel.dim,), LogMel.SILENCE)
    return quiet_features(speech.acoustic)


def live_step(speech: SpeechModel, first: int, stop: int) -> int:
    """The step of the log-mel from which on `hear_block` wants it for frames first ... stop-1; may be below zero."""
    begin, _ = feature_span(speech.speech2latent, speech.speech2latent.config.hears, first, stop)
    return begin if speech.acoustic is None else mel_step(speech.acoustic, max(begin, 0)) - speech.acoustic.front.reach


@torch.no_grad()
def hear_block(speech: SpeechModel, mel: Tensor, step: int, first: int, stop: int) -> tuple[Tensor, int]:
    """What the model hears for frames first ... stop-1 of a log-mel [s,80], faded, that begins with step `step`, and
    the number of its first step. What lies outside the log-mel is not known yet, or no more."""
    if speech.acoustic is None:
        return mel, step
    begin, _ = feature_span(speech.speech2latent, HEARD, first, stop)
    begin = max(begin, 0)
    weight = speech.acoustic.viseme.weight
    output = speech.acoustic(mel[None].to(weight), stop - begin, first_frame=begin, first_step=step)
    return output.features[0], begin
