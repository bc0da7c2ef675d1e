"""Training batches of Wav2Lip: frames to repaint, references from other moments, and the sound of each frame.

Some samples are five consecutive frames, which the lip expert judges together (Wav2Lip trains on those alone); the rest
are single frames of as many people, which teach more per computed frame where data are few.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..acoustic.model import AcousticModel
from ..acoustic.training_features import VARIANTS, heard_features
from ..datasets.talking_faces import TalkingFaces, lip_shapes
from ..dubbing.reference_mouths import moved_mouth
from ..dubbing.references import SHUT, WIDE
from ..errors import InputError
from ..faces.landmarks import MOUTH, NOSE_BASE, POSE, inner_lip_gap
from ..faces.placement import Placement
from ..media.timebase import FPS
from ..speech.features import LogMel
from ..speech.mel_augment import MelAugment, noise_mels
from ..speech.mel_windows import FRAMES, WINDOW, window_starts
from ..training.picture_augment import PictureAugment
from .lip_augment import disturb_mouths, paint_lips

_BEFORE, _STEPS = 40, 96  # mel steps that are augmented together: before the window, for echoes, and in all
_NOISES = 24
_LISTEN, _SPREAD = 16, 60  # frames heard of a clip, and the stretch that they are drawn from
_LONG = _BEFORE + int(3.2 * _SPREAD) + 2 * WINDOW

LOOKS = PictureAugment(noise=5.0, noise_probability=0.2, blur=0.9, blur_probability=0.25, resample_probability=0.15)
"""Milder than the expert's: what the generator is shown it also has to paint."""


@dataclass(frozen=True)
class Wav2LipBatches:
    """How a batch is drawn.

    windows: samples of five frames; singles: samples of one; away: frames between a sample and its reference, at
    least; shut, alike: shares of references whose mouth is shut, and of those in the sample's pose with another mouth
    (the others are any);
    speaking: share of samples drawn where somebody speaks; hushed: share of shut mouths in pauses whose sound becomes
    digital silence; listen: clips of which `_LISTEN` further frames are heard alone, to read the lips' shape off the
    sound's vector, which costs little and teaches the ear much; alone: steps at the beginning in which this is all that
    is learnt, from twice as many clips; painted, disturbed: shares of samples with painted
    lips, and of references with patches on the mouth (lip_augment.py); references: how many a sample has, the others
    being wide open mouths; same: share of samples in which all are one picture, as those of a still are; composited:
    share in which the references are one frame with other mouths laid in, as the pipeline shows them; augment: all
    that, other voices, noises, cameras, lights and alignments.
    """

    windows: int = 1
    singles: int = 24
    away: int = 10
    shut: float = 0.2
    alike: float = 0.5
    speaking: float = 0.8
    hushed: float = 0.6
    listen: int = 8
    alone: int = 1500
    painted: float = 0.5
    disturbed: float = 0.15
    references: int = 1
    same: float = 0.2
    composited: float = 0.5
    augment: bool = True


@dataclass(frozen=True)
class _Sample:
    faces: NDArray[np.uint8]
    references: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    mel: Tensor
    starts: NDArray[np.int64]
    features: Tensor | None


class Wav2LipSampler:
    """Draws batches from faces that talk; the same for the same generator."""

    def __init__(
        self,
        data: TalkingFaces,
        settings: Wav2LipBatches,
        mel_shift: float = 0.0,
        sync_shift: float = 0.0,
        seed: int = 0,
        acoustic: AcousticModel | None = None,
        also_mel: bool = False,
    ) -> None:
        """`acoustic` None: the generator hears windows of the log-mel; with `also_mel` it hears both."""
        self.data, self.settings, self.also_mel = data, settings, also_mel
        variants = VARIANTS if settings.augment else 1
        self.features = None
        if acoustic is not None:
            speech = None if data.speech is None else [data.speech[data.clip(c)] for c in range(len(data.mels))]
            self.features = heard_features(acoustic, data.mels, data.lengths.tolist(), speech, variants, seed)
        self.mel_shift, self.sync_shift = mel_shift, sync_shift
        self.sound = replace(MelAugment(), reverb=(0.1, 0.5))
        self.noises = noise_mels(_NOISES, _LONG, seed) if settings.augment else None
        self._lips = lip_shapes(data) if settings.listen else None
        self._gap = inner_lip_gap(data.landmarks) / data.size
        self._shut = self._gap < 0.012
        self._pose = data.landmarks[:, POSE].reshape(len(data.landmarks), -1)
        shortest = FRAMES + 2 * settings.away
        self._usable = np.flatnonzero(data.lengths >= shortest)
        if not len(self._usable):
            raise InputError(
                f"{data.name}: its longest clip has {max(data.lengths, default=0)} frames; "
                f"record clips of {shortest} or more."
            )

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """Of N = 5 windows + singles frames, those of the windows first: faces uint8 [N,S,S,3], references [N,R,S,S,3];
        landmarks [N,68,2] in pixels of the crop; windows float32 [N,1,80,16], or the acoustic model's features [N,W],
        or rows of both [N,1280 + W]; sync [windows,1,80,16], what five frames say."""
        settings = self.settings
        lengths = [FRAMES] * settings.windows + [1] * settings.singles
        clips = rng.choice(self._usable, len(lengths), replace=len(self._usable) < len(lengths))
        samples = [self._sample(int(clip), count, rng) for clip, count in zip(clips, lengths, strict=True)]
        mels = torch.stack([sample.mel for sample in samples])
        if self.noises is not None:
            mels = self._augmented(mels, rng)
        cut = [
            mel[torch.from_numpy(sample.starts)[:, None] + torch.arange(WINDOW)]
            for mel, sample in zip(mels, samples, strict=True)
        ]
        windows = torch.cat([c[:-1] for c in cut]).transpose(1, 2)[:, None]
        if self.features is not None:
            windows = self._with_windows(windows, [s.features for s in samples if s.features is not None])
        sync = torch.stack([c[-1] for c in cut[: settings.windows]]) if settings.windows else cut[0][:0]
        batch = {
            "faces": torch.from_numpy(np.concatenate([s.faces for s in samples])),
            "references": torch.from_numpy(np.concatenate([s.references for s in samples])),
            "landmarks": torch.from_numpy(np.concatenate([s.landmarks for s in samples])),
            "windows": windows.contiguous(),
            "sync": sync.mT[:, None].contiguous(),
        }
        return {**batch, **self.listen(rng, settings.listen)} if self._lips is not None else batch

    def listen(self, rng: np.random.Generator, clips: int) -> dict[str, Tensor]:
        """heard [n,1,80,16], or features [n,W], and lips [n,3]: sounds of frames and the lips' shapes in them
        (`lip_shapes`)."""
        data, stretches, firsts, rows, features = self.data, [], [], [], []
        for clip in rng.choice(self._usable, clips, replace=len(self._usable) < clips):
            length = int(data.lengths[clip])
            begin = int(rng.integers(0, max(length - _SPREAD, 0) + 1))
            frames = rng.integers(begin, min(begin + _SPREAD, length), _LISTEN)
            rows.append(data.starts[clip] + frames)
            if self.features is not None:
                features.append(self.features.of(int(clip), frames, rng))
                if not self.also_mel:
                    continue
            origin = window_starts([begin], FPS, self.mel_shift)[0] - _BEFORE
            versions = data.mels[clip]
            mel = versions[int(rng.integers(len(versions))) if self.settings.augment else 0]
            stretches.append(_stretch(mel, origin, _LONG))
            firsts.append(np.array(window_starts(frames.tolist(), FPS, self.mel_shift)) - origin)
        lips = torch.from_numpy(self._lips[np.concatenate(rows)])
        if features and not self.also_mel:
            return {"heard": torch.cat(features), "lips": lips}
        mels = torch.stack(stretches)
        mels = mels if self.noises is None else self._augmented(mels, rng)
        cut = [
            mel[torch.from_numpy(first)[:, None] + torch.arange(WINDOW)]
            for mel, first in zip(mels, firsts, strict=True)
        ]
        windows = torch.cat(cut).mT[:, None].contiguous()
        return {"heard": self._with_windows(windows, features) if features else windows, "lips": lips}

    def _with_windows(self, windows: Tensor, features: list[Tensor]) -> Tensor:
        """Features, behind their windows where the generator hears both."""
        rows = torch.cat(features)
        return torch.cat([windows.flatten(1), rows], 1) if self.also_mel else rows

    def _augmented(self, mels: Tensor, rng: np.random.Generator) -> Tensor:
        # Digital silence is not augmented: it stands for the gate's output, in which there is no noise.
        silent = (mels == LogMel.SILENCE).all(2).all(1)
        return torch.where(silent[:, None, None], mels, self.sound(mels, rng, self.noises))

    def _sample(self, clip: int, count: int, rng: np.random.Generator) -> _Sample:
        data, settings = self.data, self.settings
        first, length = int(data.starts[clip]), int(data.lengths[clip])
        begin = self._begin(first, length, count, rng)
        frames = begin + np.arange(count)
        shown, points = self._shown(clip, begin, count, rng)
        if settings.augment:
            placement = Placement.draw(rng, data.size, data.pad)
            look = LOOKS.look(rng)
        else:
            placement, look = Placement.plain(data.size, data.pad), lambda pictures: pictures
        pictures, landmarks = placement.pictures(shown), placement.points(points)
        if settings.augment and rng.random() < settings.painted:
            pictures = paint_lips(pictures, landmarks, rng)
        if settings.augment and rng.random() < settings.disturbed:
            pictures[count:] = disturb_mouths(pictures[count:], landmarks[count:], rng)
        pictures = look(pictures)
        mel, starts, silent = self._mel_excerpt(clip, frames, rng)
        features = None if self.features is None else self.features.of(clip, frames, rng, silent)
        references = rearrange(pictures[count:], "(r t) h w c -> t r h w c", t=count)
        return _Sample(pictures[:count], references, landmarks[:count], mel, starts, features)

    def _shown(self, clip: int, begin: int, count: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """The frames of a sample and of its references, one reference after the other [(1 + R) count,...], with their
        margins, and their landmarks."""
        data, settings = self.data, self.settings
        first, length = int(data.starts[clip]), int(data.lengths[clip])
        target = first + begin + np.arange(count)
        base = first + self._reference(first, length, begin, count, rng)
        if settings.references == 1:
            index = np.concatenate([target, base])
            return data.frames[index], data.landmarks[index]
        composited, same = rng.random() < settings.composited, rng.random() < settings.same
        others = [self._mouth(first, length, begin, count, n > 0, rng) for n in range(settings.references)]
        pictures, landmarks = [data.frames[target]], [data.landmarks[target]]
        for n in range(settings.references):
            if n and same:
                pictures, landmarks = [*pictures, pictures[1]], [*landmarks, landmarks[1]]
            elif composited:
                laid = [self._with_mouth(k, others[n]) for k in base.tolist()]
                pictures.append(np.stack(laid))
                # The mouth that was laid in, moved as its pixels were.
                landmarks.append(self._moved_landmarks(base, others[n]))
            else:
                index = base if n == 0 else others[n] + np.arange(count)
                pictures.append(data.frames[index])
                landmarks.append(data.landmarks[index])
        return np.concatenate(pictures), np.concatenate(landmarks)

    def _mouth(self, first: int, length: int, begin: int, count: int, wide: bool, rng: np.random.Generator) -> int:
        """A frame of the clip, away from the sample and early enough for `count` of them, whose mouth is shut or, if
        `wide`, among the widest open ones."""
        candidates = np.arange(length - count + 1)
        apart = np.abs(candidates - begin)
        away = apart >= self.settings.away + count
        candidates = first + candidates[away if away.any() else [apart.argmax()]]
        gaps = self._gap[candidates]
        limit = np.quantile(gaps, 1 - WIDE if wide else SHUT)
        return int(rng.choice(candidates[gaps >= limit if wide else gaps <= limit]))

    def _with_mouth(self, frame: int, other: int) -> NDArray[np.uint8]:
        """A frame with the mouth of another laid in, as the pipeline does it."""
        frames, points = self.data.frames, self.data.landmarks
        mouth, weight = moved_mouth(frames[other], points[frame], points[other])
        mixed = frames[frame] + weight[..., None] * (mouth.astype(np.float32) - frames[frame])
        return np.round(mixed).astype(np.uint8)

    def _moved_landmarks(self, frames: NDArray[np.int64], other: int) -> NDArray[np.float32]:
        points = self.data.landmarks
        moved = points[frames].copy()
        shift = points[frames][:, NOSE_BASE].mean(1, keepdims=True) - points[other, NOSE_BASE].mean(0)
        moved[:, MOUTH] = points[other, MOUTH] + shift
        return moved

    def _begin(self, first: int, length: int, count: int, rng: np.random.Generator) -> int:
        speech = self.data.speech
        for _ in range(20):
            begin = int(rng.integers(0, length - count + 1))
            if speech is None or speech[first + begin + count // 2] or rng.random() >= self.settings.speaking:
                break
        return begin

    def _reference(self, first: int, length: int, begin: int, count: int, rng: np.random.Generator) -> NDArray:
        """Frames of the clip, `count` consecutive ones, none of them near the sample."""
        settings = self.settings
        candidates = np.arange(length - count + 1)
        apart = np.abs(candidates - begin)
        away = apart >= settings.away + count
        candidates = candidates[away if away.any() else [apart.argmax()]]  # a short clip has none so far away
        kind = rng.random()
        if kind < settings.shut:
            shut = candidates[self._shut[first + candidates]]
            candidates = shut if len(shut) else candidates
        elif kind < settings.shut + settings.alike:
            far = np.square(self._pose[first + candidates] - self._pose[first + begin]).sum(1)
            alike = candidates[np.argsort(far)[: max(len(far) // 10, 1)]]
            # Of these the mouths that differ most, so that to copy the reference is always wrong.
            other = np.abs(self._gap[first + alike] - self._gap[first + begin])
            candidates = alike[np.argsort(-other)[: max(len(alike) // 4, 1)]]
        return int(rng.choice(candidates)) + np.arange(count)

    def _mel_excerpt(self, clip: int, frames: NDArray, rng: np.random.Generator) -> tuple[Tensor, NDArray, bool]:
        """The log-mel around the frames [96,80], where in it the windows begin (one per frame, then the expert's), and
        whether it is made silent."""
        data, settings = self.data, self.settings
        versions = data.mels[clip]
        mel = versions[int(rng.integers(len(versions))) if settings.augment else 0]
        starts = window_starts(frames.tolist(), FPS, self.mel_shift)
        starts += window_starts([int(frames[len(frames) // 2])], FPS, self.sync_shift)
        origin = min(starts) - _BEFORE
        excerpt = _stretch(mel, origin, _STEPS)
        pause = data.speech is not None and not data.speech[data.starts[clip] + frames].any()
        silent = pause and self._shut[data.starts[clip] + frames].all() and rng.random() < settings.hushed
        if silent:
            excerpt = torch.full_like(excerpt, LogMel.SILENCE)
        return excerpt, np.array(starts) - origin, bool(silent)


def _stretch(mel: Tensor, first: int, count: int) -> Tensor:
    """Steps first to first + count - 1 of a log-mel [S,80], float32; silence beyond its ends."""
    steps = first + np.arange(count)
    inside = torch.from_numpy((steps >= 0) & (steps < len(mel)))
    excerpt = mel[torch.from_numpy(steps.clip(0, len(mel) - 1))].float()
    return torch.where(inside[:, None], excerpt, torch.full_like(excerpt, LogMel.SILENCE))
