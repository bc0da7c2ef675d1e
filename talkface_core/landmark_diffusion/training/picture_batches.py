"""Training batches of faces to repaint, their landmarks, and references from other moments.

Source: ours, for Wav2Lip's task (Prajwal et al. 2020, section 3.2: references are other frames of the same clip). The
first `windows` samples are five consecutive frames each, which the lip expert judges together, the others single frames
of as many clips. Stills have no other moments: their references are the same portrait under a smooth random warp about
mouth and jaw, with the landmarks warped along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.stills import StillFaces
from ...datasets.talking_faces import TalkingFaces
from ...dubbing.references import SHUT, WIDE
from ...errors import InputError
from ...faces.landmarks import INNER_LIPS, JAW, MOUTH, inner_lip_gap
from ...faces.placement import Placement
from ...media.timebase import FPS
from ...speech.mel_windows import FRAMES, mel_windows
from ...training.picture_augment import PictureAugment
from ..warping import enlarged, landmark_flow, warp

LOOKS = PictureAugment(noise=5.0, noise_probability=0.2, blur=0.9, blur_probability=0.25, resample_probability=0.15)
"""Milder than a reader's: what the networks are shown they also have to paint."""

LIGHTS = PictureAugment(gain=0.1, tint=0.04, contrast=0.1, gamma=0.1, saturation=0.15, light=0.1, noise_probability=0.0)
"""How a reference may differ from its frame: another moment of one scene."""

_APART = 0.008  # deviation of a still's warped points, by the crop's side
_COARSE = 4  # pixels of a still's warp that are computed as one
_OPENED = 0.05  # the most that a still's mouth is opened or shut by, by the crop's side


@dataclass(frozen=True)
class PictureBatches:
    """How a batch is drawn.

    windows: samples of five frames; singles: of one; stills: portraits among them, where there are any; references: of
    each sample; away: frames between a sample and its references, at least; any: share of samples whose references are
    any frames instead of a shut and a wide open mouth; same: share in which they are one picture, as those of a film
    with one expression; speaking: share of samples drawn where somebody speaks; augment: other cameras, lights and
    alignments.
    """

    windows: int = 0
    singles: int = 16
    stills: int = 4
    references: int = 2
    away: int = 10
    any: float = 0.3
    same: float = 0.15
    speaking: float = 0.8
    augment: bool = True


class PictureSampler:
    """Draws batches of faces that talk and of stills; the same for the same generator."""

    def __init__(
        self, data: TalkingFaces, settings: PictureBatches, stills: StillFaces | None = None, mel_shift: float = 0.0
    ) -> None:
        """`mel_shift`: of the lip expert. Raises InputError for clips that are too short."""
        self.data, self.settings, self.stills, self.mel_shift = data, settings, stills, mel_shift
        self._gap = inner_lip_gap(data.landmarks) / data.size
        shortest = FRAMES + 2 * settings.away
        self._usable = np.flatnonzero(data.lengths >= shortest)
        if not len(self._usable):
            raise InputError(
                f"{data.name}: its longest clip has {max(data.lengths, default=0)} frames; "
                f"record clips of {shortest} or more."
            )

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Of N samples, the windows' first, R references: faces uint8 [N,S,S,3], references [N,R,S,S,3]; landmarks
        [N,68,2] and reference_landmarks [N,R,68,2] in shares of the crop; sync [windows,1,80,16], what five frames say;
        clips int64 [windows] and frames [windows], of which clip and from which frame on they are."""
        settings = self.settings
        lengths = [FRAMES] * settings.windows + [1] * settings.singles
        clips = rng.choice(self._usable, len(lengths), replace=len(self._usable) < len(lengths))
        samples, begins, mels = [], [], []
        for clip, count in zip(clips.tolist(), lengths, strict=True):
            begin = self._begin(clip, count, rng)
            samples.append(self._talking(clip, begin, count, rng))
            if count > 1:
                begins.append(begin)
                mels.append(mel_windows(self.data.mels[clip][0].float(), [begin + count // 2], FPS, self.mel_shift))
        if self.stills is not None:
            samples += [self._still(rng) for _ in range(settings.stills)]
        parts = [torch.from_numpy(np.concatenate(part)) for part in zip(*samples, strict=True)]
        batch = dict(zip(("faces", "references", "landmarks", "reference_landmarks"), parts, strict=True))
        if settings.windows:
            batch["sync"] = torch.cat(mels)
            batch["clips"] = torch.from_numpy(clips[: settings.windows].astype(np.int64))
            batch["frames"] = torch.tensor(begins)
        return batch

    def _begin(self, clip: int, count: int, rng: np.random.Generator) -> int:
        speech, first, length = self.data.speech, int(self.data.starts[clip]), int(self.data.lengths[clip])
        for _ in range(20):
            begin = int(rng.integers(0, length - count + 1))
            if speech is None or speech[first + begin + count // 2] or rng.random() >= self.settings.speaking:
                break
        return begin

    def _talking(
        self, clip: int, begin: int, count: int, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        data, settings = self.data, self.settings
        first, length = int(data.starts[clip]), int(data.lengths[clip])
        away = np.abs(np.arange(length) - begin - count // 2) >= settings.away + count // 2
        candidates = first + (np.flatnonzero(away) if away.any() else np.arange(length))
        gaps = self._gap[candidates]
        groups = [candidates] * settings.references
        if rng.random() >= settings.any:
            shut, wide = np.quantile(gaps, SHUT), np.quantile(gaps, 1 - WIDE)
            groups = [candidates[gaps <= shut], *[candidates[gaps >= wide]] * (settings.references - 1)]
        chosen = [int(rng.choice(group)) for group in groups]
        if rng.random() < settings.same:
            chosen = chosen[:1] * settings.references
        index = np.concatenate([first + begin + np.arange(count), chosen])
        return self._placed(data.frames[index], data.landmarks[index], count, data.pad, rng)

    def _placed(
        self, pictures: NDArray[np.uint8], points: NDArray[np.float32], count: int, pad: int, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """`count` frames and the references behind them as one camera shows them, each reference once for each."""
        size = self.data.size
        if self.settings.augment:
            placement = Placement.draw(rng, size, pad)
            moved = LOOKS.look(rng)(placement.pictures(pictures))
            moved = np.concatenate([moved[:count], LIGHTS.look(rng)(moved[count:])])
        else:
            placement = Placement.plain(size, pad)
            moved = placement.pictures(pictures)
        landmarks = (placement.points(points) / size).astype(np.float32)
        references, theirs = (np.repeat(part[count:][None], count, 0) for part in (moved, landmarks))
        return moved[:count], references, landmarks[:count], theirs

    def _still(self, rng: np.random.Generator) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        assert self.stills is not None
        data, count = self.stills, self.settings.references
        k = int(rng.integers(len(data.frames)))
        points = np.repeat(data.landmarks[k][None] / data.frames.shape[1], 1 + count, 0)
        points[1:] = np.stack([disturbed_mouth(points[0], rng) for _ in range(count)])
        here = torch.from_numpy(points.astype(np.float32))
        picture = rearrange(torch.from_numpy(np.array(data.frames[k])), "h w c -> 1 c h w").float()
        side = picture.shape[-1]
        flow = enlarged(landmark_flow(here[1:], here[:1].expand(count, -1, -1), side // _COARSE), side)
        others = warp(picture.expand(count, -1, -1, -1), flow).round().clamp(0, 255).to(torch.uint8)
        pictures = np.concatenate([data.frames[k][None], rearrange(others, "n c h w -> n h w c").numpy()])
        return self._placed(pictures, points * data.frames.shape[1], 1, data.pad, rng)


def disturbed_mouth(points: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Landmarks [68,2] in shares of the crop of the same face with another mouth: opened or shut, moved, as smooth as
    lips and jaw are."""
    moved = points.copy()
    middle = points[MOUTH].mean(0)
    lower = np.zeros(len(points), np.float32)
    # How far a point goes along with the chin: all of it below the mouth, nothing above.
    lower[JAW] = np.sin(np.linspace(0, np.pi, 17)) ** 2
    reach = np.maximum(np.ptp(points[MOUTH, 1]), 0.02)
    lower[MOUTH] = np.clip((points[MOUTH, 1] - middle[1]) / reach + 0.5, 0, 1)
    gap = float(inner_lip_gap(points))
    drop = rng.uniform(-min(gap, _OPENED), _OPENED)
    moved[:, 1] += drop * lower
    wide = np.exp(rng.uniform(-0.15, 0.15))
    moved[MOUTH, 0] = middle[0] + (moved[MOUTH, 0] - middle[0]) * wide
    moved[MOUTH] += rng.normal(0, _APART, 2) + rng.normal(0, _APART / 4, (20, 2))
    # The inner lips never cross.
    inner = moved[INNER_LIPS]
    inner[5:, 1] = np.maximum(inner[5:, 1], inner[1:4, 1][::-1])
    moved[INNER_LIPS] = inner
    return moved.astype(np.float32)
