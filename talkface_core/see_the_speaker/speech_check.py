"""No portrait without speech: where in a sound somebody speaks, by the voice activity gate, and what is listened to.

Ours. Guessing at a face from noise or music would be a guess from nothing, and silence has no voice: such sound is
refused. Of the rest those ten seconds are taken in which most is said, all else in them faded to silence.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..errors import InputError
from ..media.audio import AudioSource, analysis_blocks
from ..speech.features import LogMel
from ..speech.vad import VoiceActivityGate
from .conre import LONGEST, SHORTEST

ENOUGH = 0.9
"""Share of ten seconds that has to be speech for the search to end there."""


def speech_features(
    source: AudioSource, gate: VoiceActivityGate | None, device: torch.device | str = "cpu", least: int = SHORTEST
) -> Tensor:
    """The log-mel [S,80] of the ten seconds or less of a sound in which most is said, on the CPU.

    The gate (None: only digital silence is no speech) runs on `device`. `least`: steps of speech (80 a second) that
    there have to be. Memory does not grow with the sound's length. Raises InputError for a sound with less speech.
    """
    features: Iterable[Tensor] = LogMel().stream(analysis_blocks(source))
    if gate is not None:
        features = gate.stream(block.to(device) for block in features)
    best, spoken = torch.zeros(0, LogMel.dim), -1
    window = best
    for block in features:
        for piece in block.cpu().split(SHORTEST):
            window = torch.cat([window, piece])[-LONGEST:]
            said = int((window > LogMel.SILENCE).any(1).sum())
            if said > spoken:
                best, spoken = window, said
        if spoken >= ENOUGH * LONGEST:
            break
    if spoken < max(least, 1):
        raise InputError(
            f"a portrait needs speech, and this sound holds {max(spoken, 0) / float(LogMel.rate):.1f} s of it; "
            f"give at least {least / float(LogMel.rate):.1f} s of one person speaking."
        )
    return _filled(best)


def _filled(mel: Tensor) -> Tensor:
    """At least a second: what is shorter ends in silence."""
    missing = max(SHORTEST - len(mel), 0)
    return torch.cat([mel, mel.new_full((missing, mel.shape[1]), LogMel.SILENCE)])
