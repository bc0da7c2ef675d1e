"""Training windows of the landmark completion: pose landmarks, references and features of the sound, mouths as wanted.

Source: IP_LAP (Zhong et al. 2023) trains on other frames of a clip as references. Ours: references lie a second away
and heads often move as at another moment, for a network that finds a frame's own pose among the references, or the
nod that goes with a word, learns to say what the footage said; heads that hold still, stills as references, silences,
trackers that tremble, faces of other places and sizes. No picture is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from ...acoustic.hearing import OutsideEar
from ...acoustic.model import AcousticModel
from ...acoustic.training_by_ear import clip_waves, heard_by
from ...acoustic.training_features import HeardFeatures
from ...datasets.aligned_faces import clip_crop
from ...datasets.clips import ClipSet
from ...datasets.labels import IGNORE, VISEMES, viseme_track
from ...datasets.sounds import read_sounds
from ...errors import InputError
from ...faces.landmarks import mirror
from ..landmarks import IBUG_68, LandmarkSet
from ..reposing import repose, rest_mouths
from .completion_hearing import WindowSounds

_SIDE = 256  # pixels of a crop that is never cut out


@dataclass(frozen=True)
class LandmarkClip:
    """One clip of T frames at 25 fps.

    points [T,68,2] float32, shares of the aligned crop; shut bool [T]: the mouth is; speech bool [T] or None: somebody
    speaks; closures: frames at which p, b or m is said; mels [V,S,80] float16, the clean log-mel first; visemes int64
    [T] or None; judged: whether its landmarks are learnt, or only what is heard; by_ear [E,T,W] float16: features that
    an ear has of several versions of the sound, or None.
    """

    name: str
    points: Tensor
    shut: Tensor
    speech: NDArray[np.bool_] | None
    closures: NDArray[np.int64]
    mels: Tensor
    visemes: Tensor | None = None
    judged: bool = True
    by_ear: Tensor | None = None

    @property
    def frames(self) -> int:
        """T."""
        return len(self.points)

    @property
    def silent(self) -> Tensor:
        """Bool [T]: the mouth is shut and nobody speaks."""
        if self.speech is None:
            return self.shut
        quiet = self.shut & ~torch.from_numpy(self.speech)
        return quiet if quiet.any() else self.shut


def read_landmark_clips(
    folder: str | Path,
    versions: int = 1,
    seed: int = 0,
    ear: OutsideEar | None = None,
    acoustic: AcousticModel | None = None,
) -> list[LandmarkClip]:
    """The clips of a folder with landmarks in their truth, their sounds `versions` times, and what an ear hears in them
    in the acoustic model's place. Raises InputError."""
    clips = ClipSet.open(folder)
    found = []
    for clip, mels in zip(clips.clips, read_sounds(clips, versions, seed), strict=True):
        truth = clip.truth()
        crop = clip_crop(clip, _SIDE)
        points = crop.landmarks.float() / _SIDE
        opening = torch.from_numpy(truth["mouth_open"]) if "mouth_open" in truth else IBUG_68.opening(points) - 0.006
        spoken = truth.get("speech")
        spoken = None if spoken is None else np.asarray(spoken, bool)
        said = np.asarray(truth.get("pp_frames", ()), np.int64)
        said = said[(said >= 0) & (said < len(points))]
        visemes = viseme_track(truth["phonemes"], len(points)) if "phonemes" in truth else None
        found.append(LandmarkClip(clip.name, points, opening <= 0, spoken, said, mels, visemes))
    return heard_by(ear, acoustic, found, clip_waves(clips), seed)


@dataclass(frozen=True)
class CompletionBatches:
    """How windows are drawn; probabilities of a window unless said otherwise.

    windows: in a batch; away: frames that lie at least between a window and its references, where the clip is that
    long; other: the head moves as in another window of the clip; silence: nothing is said, and the mouth is at rest;
    still: the head holds still; same: the references are one frame, as for a still picture; mirror: left and right are
    swapped; tremble: deviation of noise on the pose points, from frame to frame, at most; closure: extra weight of
    frames of speech with shut lips; size, place: changes of all landmarks of a window, deviations.
    """

    windows: int = 24
    frames: int = 50
    references: int = 15
    away: int = 25
    other: float = 0.5
    silence: float = 0.08
    still: float = 0.15
    same: float = 0.15
    mirror: float = 0.5
    tremble: float = 0.004
    closure: float = 4.0
    size: float = 0.03
    place: float = 0.01


class CompletionSampler:
    """Draws windows of clips and the features of their sounds."""

    def __init__(
        self,
        clips: Sequence[LandmarkClip],
        heard: HeardFeatures | WindowSounds,
        settings: CompletionBatches,
        known: LandmarkSet,
    ) -> None:
        """heard: what becomes `audio` in a batch. Raises InputError where there is no clip."""
        self._every = heard.every if isinstance(heard, WindowSounds) else 1
        self.clips, self.heard, self.settings, self.known = clips, heard, settings, known
        if not clips:
            raise InputError("no clip to train the completion on; give a folder of clips with landmarks.")
        self._silent = [clip.silent.nonzero()[:, 0].numpy() for clip in clips]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """audio [B,T,A], or what a `WindowSounds` has; landmarks [B,T,68,2], what the network is shown; references
        [B,N,68,2]; truth [B,T,C,2], jaw and lips as they should be; weight [B,T]; visemes int64 [B,T]."""
        count = self.settings.windows
        chosen = rng.choice(len(self.clips), count, replace=count > len(self.clips))
        items = [self._window(int(clip), rng) for clip in chosen]
        return default_collate(items)

    def _window(self, index: int, rng: np.random.Generator) -> dict[str, Tensor]:
        settings, clip, known = self.settings, self.clips[index], self.known
        first = self._every * int(rng.integers(0, max(clip.frames - settings.frames, 0) // self._every + 1))
        frames = first + np.arange(settings.frames)
        inside = torch.from_numpy(frames < clip.frames).float()  # what comes after a short clip is not judged
        frames = frames.clip(max=clip.frames - 1)
        points = clip.points[frames]
        references = clip.points[self._references(clip.frames, frames, rng)]
        stable, content = list(known.stable), list(known.content)
        truth = points[:, content]
        silent = rng.random() < settings.silence and len(self._silent[index]) > 0
        if silent:
            quiet = rng.choice(self._silent[index], 4)
            truth = rest_mouths(points[None], clip.points[quiet][None], known)[0]
        kind = rng.random()
        if kind < settings.still + settings.other:
            if kind < settings.still:
                there = clip.points[int(rng.integers(clip.frames))].expand_as(points)
            else:
                begin = int(rng.integers(0, max(clip.frames - settings.frames, 0) + 1))
                there = clip.points[(begin + np.arange(settings.frames)).clip(max=clip.frames - 1)]
            truth = repose(truth, points[:, stable], there[:, stable])
            points = there
        points = points.clone()
        points[:, content] = truth
        if rng.random() < settings.mirror:
            points, references = mirror(points, 1.0), mirror(references, 1.0)
        shift = torch.from_numpy(rng.normal(0, settings.place, 2).astype(np.float32))
        scale = float(np.exp(rng.normal(0, settings.size)))
        points, references = ((p - 0.5) * scale + 0.5 + shift for p in (points, references))
        truth = points[:, content].clone()
        amount = settings.tremble * rng.random() ** 2
        shown = points + _noise(rng, points, amount)
        references = references + _noise(rng, references, 0.5 * amount)
        speech = torch.zeros(len(points)) if clip.speech is None else torch.from_numpy(clip.speech[frames]).float()
        weight = 1 + settings.closure * clip.shut[frames].float() * speech * float(not silent)
        return {
            "audio": self.heard.of(index, frames, rng, silent),
            "landmarks": shown,
            "references": references,
            "truth": truth,
            "weight": inside * weight * float(clip.judged),
            "visemes": torch.where(inside > 0, self._visemes(clip, frames, silent), IGNORE),
        }

    def _references(self, length: int, frames: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
        """Frames [N] of a clip that are away from a window."""
        settings = self.settings
        every = np.arange(length)
        apart = np.maximum(frames[0] - every, every - frames[-1])
        away = every[apart >= settings.away]
        if not len(away):  # a short clip has none so far away
            away = every[np.argsort(-apart)[: max(length // 4, 1)]]
        if rng.random() < settings.same:
            return np.full(settings.references, rng.choice(away))
        return rng.choice(away, settings.references, replace=len(away) < settings.references)

    @staticmethod
    def _visemes(clip: LandmarkClip, frames: NDArray[np.integer], silent: bool) -> Tensor:
        if silent:
            return torch.full((len(frames),), VISEMES.index("sil"))
        return torch.full((len(frames),), IGNORE) if clip.visemes is None else clip.visemes[frames]


def _noise(rng: np.random.Generator, like: Tensor, deviation: float) -> Tensor:
    return deviation * torch.from_numpy(rng.standard_normal(like.shape, dtype=np.float32))
