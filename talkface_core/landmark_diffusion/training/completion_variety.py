"""More to hear than was recorded: clips at other tempos, and sounds without a face, of which visemes alone are learnt.

Source: speed perturbation (Ko et al. 2015, "Audio augmentation for speech recognition"), as other speakers would say
it: the log-mel is stretched in time, pitch stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...datasets.labelled_sounds import SpeechClip
from ...sequences import sample_at
from .completion_batches import LandmarkClip

TEMPOS = (0.88, 1.12)


def at_tempo(clip: LandmarkClip, tempo: float) -> LandmarkClip:
    """The clip said `tempo` times as fast, sound and face together."""
    count, steps = int(clip.frames / tempo), int(clip.mels.shape[1] / tempo)
    at = (torch.arange(count, dtype=torch.float64) + 0.5) * tempo - 0.5
    near = at.round().long().clamp(0, clip.frames - 1)
    places = torch.arange(steps, dtype=torch.float64) * tempo
    return replace(
        clip,
        points=sample_at(clip.points, at).float(),
        shut=clip.shut[near],
        speech=None if clip.speech is None else clip.speech[near.numpy()],
        closures=np.minimum(np.round(clip.closures / tempo).astype(np.int64), max(count - 1, 0)),
        mels=torch.stack([sample_at(mel.float(), places) for mel in clip.mels]).half(),
        visemes=None if clip.visemes is None else clip.visemes[near],
        by_ear=None,
    )


def faceless(sounds: Sequence[SpeechClip], faces: Sequence[LandmarkClip]) -> list[LandmarkClip]:
    """Labelled sounds as clips whose landmarks, some other clip's that holds still, are not judged."""
    clips = []
    for n, sound in enumerate(sound for sound in sounds if sound.visemes is not None):
        clips.append(
            LandmarkClip(
                name=sound.name,
                points=faces[n % len(faces)].points[:1].expand(sound.frames, -1, -1),
                shut=torch.zeros(sound.frames, dtype=torch.bool),
                speech=None if sound.speech is None else sound.speech.numpy(),
                closures=np.zeros(0, np.int64),
                mels=sound.mels,
                visemes=sound.visemes,
                judged=False,
            )
        )
    return clips
