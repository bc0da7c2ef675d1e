"""Landmark diffusion as a lip-sync model: the sound moves landmarks, and TalkFormer paints what they ask for.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416), inference: pose landmarks of the template video, completed
by what the sound says; the lower face sampled by diffusion; all frames from one noise, so that they hold together. Two
references, the voice activity gate and guidance against the mouth at rest are ours. What is done with a film besides
(tracking, cutting out, pasting, writing) is dubbing's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ..diffusion.sampling import seeded
from ..dubbing.model import DubContext, MouthModel, MouthPainter
from ..dubbing.references import choose_references, likely_references
from ..errors import InputError
from ..faces.geometry import transform
from ..faces.track import FaceTrack
from ..speech.features import FrontEnd
from . import landmarks as sets
from .completion_stream import CompletedLandmarks, CompletionModel
from .film_references import FilmReferences, some_reference
from .given_references import GivenReferences
from .model import LandmarkDiffusion
from .painter import Callback, Sampling, TalkFormerModel
from .reposing import rest_mouths, with_sides

KNOWN = sets.IBUG_68


class Landmarks(Protocol):
    """Where the points of rising frames of a dubbed film lie: [n,68,2] in shares of the crop. What was asked for last
    can be asked for again."""

    def at(self, frames: Sequence[int]) -> Tensor: ...


@dataclass(frozen=True)
class GivenLandmarks:
    """Points [N,68,2] of all frames of a dubbed film, in shares of the crop."""

    points: Tensor

    def at(self, frames: Sequence[int]) -> Tensor:
        """Those of some frames [n,68,2]."""
        return self.points[list(frames)]


@dataclass(frozen=True)
class LandmarkMouths(MouthModel):
    """Landmark diffusion as dubbing asks for it.

    completion: who says where lips and jaw lie; goal: or else, frame by frame of the footage or of the dubbed film, the
    track whose lips and jaw are painted as they are, but for the jaw's sides (`with_sides`). strength: of the mouth's
    motion, 1: as it is said, 0: none, up to 2. away: frames that lie at least between a frame and its references, for
    measurements in which these must not tell the answer. encoded: an audio encoder's features of the sound, for a
    completion that was trained on them. shown: references that are given, instead of the film's own. callback: is told
    of each step of sampling. Raises InputError for another strength or seed, and where there is neither completion nor
    goal.
    """

    painter: TalkFormerModel
    completion: CompletionModel | None = None
    sampling: Sampling = field(default_factory=Sampling)
    strength: float = 1.0
    away: int = 0
    goal: FaceTrack | None = None
    encoded: FrontEnd | None = None
    shown: GivenReferences | None = None
    callback: Callback | None = None

    def __post_init__(self) -> None:
        seeded(self.sampling.seed)
        if not 0 <= self.strength <= 2:
            raise InputError(f"strength {self.strength}; it lies between 0 (the mouth rests) and 2, 1 is as heard.")
        if self.completion is None and self.goal is None:
            raise InputError("nothing says where lips and jaw lie: give a landmark completion, or a track of them.")

    @classmethod
    def of(cls, model: LandmarkDiffusion, sampling: Sampling | None = None, strength: float = 1.0) -> LandmarkMouths:
        """Of a loaded checkpoint's networks."""
        return cls(model.painter, model.completion, sampling or Sampling(), strength)

    @property
    def crop_size(self) -> int:
        return self.painter.size

    def begin(self, context: DubContext) -> LandmarkPainter:
        """Cut out the references, and open the sound's stream."""
        points = context.crop.landmarks / context.crop.size
        return LandmarkPainter(self, context, self._landmarks(context, points), self._references(context, points))

    @property
    def painted_size(self) -> int:
        return self.painter.autoencoder.size

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        """Shut and wide open mouths, which references are taken from."""
        return likely_references(landmarks, self.painter.references)

    def memory(self, frames: int) -> float:
        """Bytes of activations that so many frames at once need, for a host that makes room beforehand."""
        return float(frames * self.painter.live_values * torch.empty((), dtype=self.painter.dtype).element_size())

    def _references(self, context: DubContext, points: Tensor) -> FilmReferences:
        """What is shown beside each frame of the footage, whose points [T,68,2] are in shares of the crop."""
        crop, track, away, painter = context.crop, context.track, self.away, self.painter
        if self.shown is not None:
            own = self.shown.crop(crop.size)
            chosen = self.shown.choose(own, points, painter.references)
            cut = self.shown.cut(own, np.unique(chosen[context.visible]))
            return FilmReferences(painter.encode_references, chosen, cut, own.landmarks / own.size, painter.device)
        usable = (track.valid & track.readable).numpy()
        chosen = choose_references(crop, usable, track.scenes, painter.references, away)
        chosen = some_reference(chosen, usable, track.scenes, away)
        # None is kept for scenes that do not show the face.
        wanted = np.unique(chosen[context.visible])
        (cut,) = context.crops((wanted, crop.size))
        return FilmReferences(painter.encode_references, chosen, cut, points, painter.device)

    def _landmarks(self, context: DubContext, points: Tensor) -> Landmarks:
        """The points of the dubbed film, of those of the footage [T,68,2] in shares of the crop."""
        track, order = context.track, context.order
        if self.goal is not None:
            if self.goal.size != track.size or len(self.goal) not in (len(track), len(order)):
                raise InputError(
                    f"landmarks to be painted of {len(self.goal)} frames of {self.goal.size[1]}x{self.goal.size[0]} "
                    f"px, but the face was tracked in {len(track)} of {track.size[1]}x{track.size[0]}; give both of "
                    "one film."
                )
            frames = order if len(self.goal) == len(track) else np.arange(len(order))
            wanted = transform(context.crop.matrices[order], self.goal.landmarks[frames])
            return GivenLandmarks(wanted / context.crop.size)
        played = track.at(order.tolist())
        return CompletedLandmarks(
            cast(CompletionModel, self.completion),  # without a goal there is one
            context.source,
            points[order],
            played.cuts,
            self.rest_references(context),
            context.film.fps,
            self.strength,
            self.encoded,
        )

    def rest_references(self, context: DubContext) -> Tensor:
        """Landmarks [N,68,2] of the footage that show how its mouth moves, in shares of the crop."""
        crop, track = context.crop, context.track
        points, usable = crop.landmarks / crop.size, track.valid & track.readable
        if not usable.any():
            usable = torch.ones_like(usable)
        count = 15 if self.completion is None else self.completion.completion.config.references
        return points[sets.choose_references(points, KNOWN, count, usable)]


class LandmarkPainter(MouthPainter):
    """One film's landmarks and references."""

    def __init__(
        self, model: LandmarkMouths, context: DubContext, landmarks: Landmarks, references: FilmReferences
    ) -> None:
        self.device = model.painter.device
        self.settings = {**asdict(model.sampling), "strength": model.strength}
        self._model, self._landmarks, self._references = model, landmarks, references
        self._order, self._shown = context.order, context.crop.landmarks / context.crop.size
        guided = model.sampling.guidance != 1
        self._rest = model.rest_references(context)[None].to(self.device) if guided else None

    def paint(self, faces: Tensor, frames: Tensor) -> Tensor:
        """See `MouthPainter.paint`. The upper half of a face is its own."""
        points = self._landmarks.at(frames.tolist()).to(self.device, torch.float32)
        footage = self._order[frames.numpy()].tolist()
        encoded, places = self._references.at(footage)
        shown, rest = self._shown[footage].to(points), None
        if self._rest is not None:
            rest = points.clone()
            rest[:, list(KNOWN.content)] = rest_mouths(points[None], self._rest, KNOWN)[0]
            rest = with_sides(rest, shown, KNOWN)
        points = with_sides(points, shown, KNOWN)
        return self._model.painter.paint(
            faces, points, encoded.at(places), self._model.sampling, rest, self._model.callback
        )
