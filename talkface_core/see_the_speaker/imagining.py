"""A portrait from a voice alone, as far as the pack draws it: refused without speech, sharpened by the codebook.

Source: See the Speaker (Wang et al., arXiv 2510.26819), first stage, and its 256 px out of the discrete codebook.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..faces.align import align
from ..faces.face import Detector
from ..faces.geometry import GENERIC_FACE
from ..faces.track import FaceTrack
from ..faces.tracking import track_faces
from ..media.audio import AudioSource
from ..media.timebase import FPS, as_rate
from .portrait import PortraitModel
from .portrait_space import framed
from .prior import BETA
from .rendering import PortraitRenderer
from .speech_check import speech_features

GUESS = {
    "comment": "Synthetic media: this person was made up by a computer program (TalkFace) after a voice alone, a guess "
    "at sex and age group. It shows nobody and identifies nobody."
}
"""What the metadata of a file with such a portrait says."""

_LIVE_MAPS = 6
"""Maps of the autoencoder's finest level that are in memory at the peak."""


@dataclass(frozen=True)
class Imagining:
    """How a portrait is guessed: `arm` and `weight` of the face prior, guidance, steps, seed, sampler (see
    `PortraitModel.imagine`)."""

    arm: str = "adaptive"
    weight: float = BETA
    guidance: float = 2.0
    steps: int = 25
    seed: int = 0
    sampler: str = "ddim"


def imagine(
    model: PortraitModel,
    renderer: PortraitRenderer | None,
    source: AudioSource,
    how: Imagining | None = None,
    callback: Callable[[int, int, Tensor], None] | None = None,
) -> Tensor:
    """A portrait [S,S,3] in 0..1, on the CPU, of the voice in a sound.

    renderer: its codebook brings the portrait to the size of its pictures, where there is one. `callback` is told step,
    steps and the portrait [1,3,s,s] as it stands. Raises InputError for a sound without speech, and as
    `PortraitModel.imagine` does.
    """
    how = how or Imagining()
    place = model.device if model.gate is None else next(model.gate.parameters()).device
    heard = speech_features(source, model.gate, place)
    made = model.imagine(heard, how.arm, how.weight, how.guidance, how.steps, how.seed, how.sampler, callback)
    if renderer is not None:
        made = renderer.sharper(made)
    return made[0].permute(1, 2, 0).float().cpu()


def imagine_memory(model: PortraitModel, renderer: PortraitRenderer | None) -> float:
    """Bytes of activations that `imagine` needs at its peak, for a host that makes room beforehand."""
    space = model.space.config
    width = space.autoencoder.channels * space.autoencoder.multipliers[0]
    maps = 4.0 * _LIVE_MAPS * width * (space.size // space.autoencoder.patch) ** 2
    return maps if renderer is None else max(maps, renderer.memory(1))


def face_in(portrait: Tensor, detector: Detector) -> Tensor:
    """Landmarks [68,2], in pixels, of a portrait [S,S,3] in 0..1 that was imagined.

    All are framed alike: where the detector finds no face, as in one of few steps, it lies where everybody's does.
    """
    try:
        return track_faces(iter([portrait[None]]), FPS, detector, smoothing=0.0).landmarks[0]
    except InputError:
        side = portrait.shape[0]
        points = torch.from_numpy(GENERIC_FACE[None, :, :2]).float() * torch.tensor([1.0, -1.0])
        someone = FaceTrack(points, torch.tensor([True]), (side, side), as_rate(FPS))
        return framed(align(someone, side)).landmarks[0]
