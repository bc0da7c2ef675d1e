"""What an ear hears in sounds, as training data: networks that it drives learn what it gives, beside what the acoustic
model gives.

Source: ours. An ear's features are like the acoustic model's, and surer: a network that has heard only the latter opens
mouths less than they should be, as befits what it was told.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.clips import ClipSet
from ..media.audio import analysis_audio
from ..media.timebase import FPS
from ..sequences import sample_at
from ..speech.features import LogMel
from ..speech.wave_augment import WaveAugment
from .hearing import DEFAULT_EAR, NO_EAR, OutsideEar, pick_ear
from .model import AcousticModel
from .stream import quiet_features
from .training_features import HeardFeatures, gate_gain

EAR_VERSIONS = 3
"""Of each sound: as recorded, then with noises and rooms."""


class HeardClip(Protocol):
    """What is known of a clip whose sound an ear hears; a dataclass with a field `by_ear` for what it hears."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def frames(self) -> int:
        """How many at 25 fps."""

    @property
    def speech(self) -> Any:
        """Bool [T], in which of them somebody speaks, or None."""


Heard = TypeVar("Heard", bound=HeardClip)


def add_ear(parser: argparse.ArgumentParser) -> None:
    """`--ear`."""
    parser.add_argument(
        "--ear",
        metavar="NAME|FILE",
        default=DEFAULT_EAR,
        help=f"whose features are learnt beside the acoustic model's: {DEFAULT_EAR}, where it fits (default), "
        f"a converted Whisper, or {NO_EAR}",
    )


def ear_of(name: str, acoustic: AcousticModel | None) -> OutsideEar | None:
    """The ear of that flag. Raises InputError where its features are not those of the acoustic model; the bundled one
    is left out there."""
    ear = pick_ear(name)(acoustic)
    if ear is not None:
        ear.check(acoustic)
    return ear


def clip_waves(clips: ClipSet) -> Iterator[NDArray[np.float32]]:
    """The sounds [n] of all clips at 16 kHz, each when it is asked for."""
    return (analysis_audio(clip.audio()).numpy() for clip in clips.clips)


def heard_by(
    ear: OutsideEar | None,
    acoustic: AcousticModel | None,
    clips: Sequence[Heard],
    waves: Iterable[NDArray[np.float32]],
    seed: int = 0,
) -> list[Heard]:
    """The clips, whose sounds are `waves`, with what an ear hears in them; None: as they are, and nothing is read."""
    if ear is None or acoustic is None:
        return list(clips)
    frames, speech = [clip.frames for clip in clips], [clip.speech for clip in clips]
    heard = hear_sounds(ear, acoustic, waves, frames, speech, seed=seed)
    return [replace(clip, by_ear=features) for clip, features in zip(clips, heard, strict=True)]


def with_ear(features: HeardFeatures, by_ear: Sequence[Tensor | None]) -> HeardFeatures:
    """The same features with those by an ear [E,T,W] among them, half of what is drawn; None: it has not heard this."""
    clips = []
    for own, other in zip(features.clips, by_ear, strict=True):
        often = 0 if other is None else max(len(own) // len(other), 1)
        clips.append(own if other is None else torch.cat([own, *[other.to(own)] * often]))
    return HeardFeatures(clips, features.silence)


@torch.no_grad()
def hear_sounds(
    ear: OutsideEar,
    acoustic: AcousticModel,
    waves: Iterable[NDArray[np.float32]],
    frames: Sequence[int],
    speech: Sequence[NDArray[np.bool_] | Tensor | None] | None = None,
    versions: int = EAR_VERSIONS,
    seed: int = 0,
) -> list[Tensor]:
    """Features float16 [V,T,W] that an ear has of each wave [n] at 16 kHz, at 25 frames per second.

    frames: how many each has; speech: in which of them somebody speaks, where that is known: elsewhere they are the
    acoustic model's of silence, about as the voice activity gate makes them.
    """
    augment, rng, quiet = WaveAugment(), np.random.default_rng(seed), quiet_features(acoustic)
    heard, known, ratio = [], list(waves), float(LogMel.rate / FPS)
    for number, wave in enumerate(known):
        sounds = [wave, *(augment(wave, rng, known) for _ in range(versions - 1))]
        at = torch.arange(int(frames[number]))
        rows = [torch.cat(list(ear.stream([torch.from_numpy(sound)]))) for sound in sounds]
        features = torch.stack([row[at.clamp_max(len(row) - 1)] for row in rows])
        if speech is not None and (spoken := speech[number]) is not None:
            gain = gate_gain(np.asarray(spoken), int(len(at) * ratio))
            features = torch.lerp(quiet, features, sample_at(gain, (at + 0.5) * ratio))
        heard.append(features.half())
    return heard
