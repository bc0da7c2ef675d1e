"""Training batches of the codebook: sharp faces of films and stills, and what a small renderer would make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.clips import Clip, ClipSet
from ...datasets.stills import read_stills
from ...errors import InputError
from ...faces.landmarks import LEFT_EYE, MOUTH, RIGHT_EYE
from ...training.frame_cache import CacheKey, cached_frames, stats
from ...training.recipe import Batch
from .codebook_rendered import RenderedPairs

SHIFT = 8
"""How far the grid of codes moves over a picture from one draw to the next, in pixels."""

_VERSION = 1


@dataclass(frozen=True)
class Softness:
    """What a small renderer does to a face, drawn for each picture anew.

    blur: largest deviation in pixels of the small picture; features: that of eyes and mouth, which move most, in a
    share `featured` of the pictures; lines: fewest lines that it is resampled to, by its size, in a share `resampled`;
    noise: largest deviation in steps of 255.
    """

    blur: float = 0.5
    features: float = 0.9
    featured: float = 0.3
    lines: float = 0.75
    resampled: float = 0.2
    noise: float = 1.5

    def soften(
        self, sharp: NDArray[np.uint8], landmarks: NDArray[np.float32], size: int, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """A face [S,S,3] with landmarks [68,2] in its pixels as a soft one [size,size,3]."""
        small = cv2.resize(sharp, (size, size), interpolation=cv2.INTER_AREA)
        if rng.random() < self.resampled:
            few = round(size * rng.uniform(self.lines, 0.97))
            kernel = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_LINEAR
            small = cv2.resize(small, (few, few), interpolation=cv2.INTER_AREA)
            small = cv2.resize(small, (size, size), interpolation=kernel)
        sigma = rng.uniform(-0.6, self.blur)
        if sigma > 0.2:
            small = cv2.GaussianBlur(small, (0, 0), sigma)
        if rng.random() < self.featured:
            small = self._soft_features(small, landmarks * (size / sharp.shape[0]), rng)
        noise = rng.uniform(-self.noise, self.noise)
        if noise > 0.2:
            small = np.clip(small + noise * rng.standard_normal(small.shape, np.float32), 0, 255).astype(np.uint8)
        return small

    def _soft_features(
        self, small: NDArray[np.uint8], landmarks: NDArray[np.float32], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        mask = np.zeros(small.shape[:2], np.float32)
        shown = [*((LEFT_EYE, RIGHT_EYE) if rng.random() < 0.7 else ()), *((MOUTH,) if rng.random() < 0.7 else ())]
        for points in shown:
            centre = tuple(round(float(value)) for value in landmarks[points].mean(0))
            half = float(np.ptp(landmarks[points], 0).max()) * 0.8 + 2
            cv2.ellipse(mask, centre, (round(half), round(half * 0.7)), 0, 0, 360, 1, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
        soft = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.5, self.features))
        return (small + mask * (soft.astype(np.float32) - small) + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class CodebookBatches:
    """`size` faces, a share `rendered` of them as the renderer draws them and, of the others, `stills` of stills, where
    there are such; `colour`: brightness, contrast and white change by up to that share; `patch`: squares of so many
    pixels for the auto-encoder, 0 for whole faces."""

    size: int = 8
    rendered: float = 0.35
    stills: float = 0.4
    colour: float = 0.15
    patch: int = 0
    softness: Softness = Softness()


@dataclass(frozen=True)
class Portraits:
    """Whole pictures of N faces: frames uint8 [N,S,S,3] RGB, landmarks float32 [N,68,2] in their pixels."""

    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


class CodebookSampler:
    """Draws batches from portraits of films and, where there are some, of stills; the same for the same generator."""

    def __init__(
        self,
        films: Portraits,
        stills: Portraits | None,
        soft: int,
        settings: CodebookBatches,
        rendered: RenderedPairs | None = None,
    ) -> None:
        """`soft`: side of the soft pictures; the sharp ones are as large as the portraits."""
        self.films, self.stills, self.soft, self.settings, self.rendered = films, stills, soft, settings, rendered
        self.size = films.frames.shape[1]

    def batch(self, rng: np.random.Generator) -> Batch:
        """`real` uint8 [B,S,S,3], `soft` uint8 [B,s,s,3], `early` and `fidelity` [B] in 0..1."""
        pairs = [self._pair(rng) for _ in range(self.settings.size)]
        real, soft = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
        early, fidelity = (torch.from_numpy(rng.random(len(real), np.float32)) for _ in range(2))
        return {"real": real, "soft": soft, "early": early, "fidelity": fidelity}

    def patches(self, rng: np.random.Generator) -> Batch:
        """`real` uint8 [B,p,p,3] and `early` [B]."""
        real = [self._patch(self._face(rng)[0], rng) for _ in range(self.settings.size)]
        return {"real": torch.from_numpy(np.stack(real)), "early": torch.from_numpy(rng.random(len(real), np.float32))}

    def _pair(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if self.rendered is not None and rng.random() < self.settings.rendered:
            return self._rendered(self.rendered, rng)
        sharp, landmarks = self._face(rng)
        return sharp, self.settings.softness.soften(sharp, landmarks, self.soft, rng)

    def _rendered(self, pairs: RenderedPairs, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """A true and a rendered face, moved alike: by whole pixels of the soft one."""
        n, scale = int(rng.integers(len(pairs.real))), self.size // self.soft
        x, y = (int(by) for by in rng.integers(-SHIFT // scale, SHIFT // scale + 1, 2))
        flip, colour = rng.random() < 0.5, self._colour(rng)
        real, soft = moved(pairs.real[n], x * scale, y * scale), moved(pairs.soft[n], x, y)
        if flip:
            real, soft = real[:, ::-1], soft[:, ::-1]
        return colour(real), colour(soft)

    def _face(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A face [S,S,3], whose grid of codes lies somewhere else each time, and its landmarks [68,2]."""
        source = self.stills if self.stills is not None and rng.random() < self.settings.stills else self.films
        n = int(rng.integers(len(source.frames)))
        x, y = (int(by) for by in rng.integers(-SHIFT, SHIFT + 1, 2))
        face, landmarks = moved(source.frames[n], x, y), source.landmarks[n] - np.array([x, y], np.float32)
        if rng.random() < 0.5:
            # Left and right stay where they are named: only where features lie is asked of the points.
            face, landmarks = face[:, ::-1], landmarks.copy()
            landmarks[:, 0] = self.size - 1 - landmarks[:, 0]
        return self._colour(rng)(face), landmarks

    def _colour(self, rng: np.random.Generator) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
        """One change of brightness, contrast and white, for a picture or for both of a pair."""
        share = self.settings.colour
        gain = 1 + share * rng.uniform(-1, 1) + share / 3 * rng.uniform(-1, 1, 3).astype(np.float32)
        level = 128 + 80 * share * rng.uniform(-1, 1)

        def change(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
            changed = np.clip((picture - np.float32(128)) * gain + level, 0, 255) if share else picture
            return np.ascontiguousarray(changed, np.uint8)

        return change

    def _patch(self, face: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        side = self.settings.patch or self.size
        top, left = rng.integers(0, self.size - side + 1, 2)
        return face[top : top + side, left : left + side]


def film_portraits(clips: ClipSet, size: int, every: int, cache_dir: str | Path, quiet: bool = False) -> Portraits:
    """Each `every`th frame of a set's clips, `size` px square: who looks at single pictures learns little from
    neighbours. Decoded once. Raises InputError for frames that are not square and for clips without landmarks."""
    side = clips.clips[0].width
    if clips.clips[0].height != side:
        raise InputError(f"{clips.folder}: frames of {side}x{clips.clips[0].height}; crop the clips to squares.")
    key = CacheKey("some-frames", clips.folder, (size, every), [_VERSION, *stats(clips.files)])

    def frames() -> Iterator[NDArray[np.uint8]]:
        for clip in clips.clips:
            for n, frame in enumerate(clip.decode()):
                if n % every == 0:
                    yield resized(frame, size)

    count = sum(len(range(0, clip.frames, every)) for clip in clips.clips)
    pictures = cached_frames(key, cache_dir, (count, size, size, 3), frames, f"frames of {clips.name}", quiet)
    points = np.concatenate([_landmarks(clip)[::every] for clip in clips.clips])
    return Portraits(pictures, points * np.float32(size / side))


def _landmarks(clip: Clip) -> NDArray[np.float32]:
    truth = clip.truth()
    if "landmarks" not in truth:
        raise InputError(f"{clip.truth_file}: no 'landmarks' in it; prepare the clip with them.")
    return truth["landmarks"]


def still_portraits(folders: Sequence[str | Path], size: int) -> Portraits | None:
    """The portraits of folders, together, `size` px square; None for no folder.

    Each is `<name>.jpg` or `.png`, square, with `<name>.npz` beside it, whose `landmarks` [1,68,2] are in its pixels.
    Raises InputError for a folder without any, for others than squares, and for landmarks that are none.
    """
    frames, landmarks = [], []
    for folder in folders:
        for picture, points in read_stills(folder):
            if picture.shape[0] != picture.shape[1]:
                raise InputError(f"{folder}: pictures of {picture.shape[1]}x{picture.shape[0]}; give squares.")
            frames.append(resized(picture, size))
            landmarks.append(points * np.float32(size / len(picture)))
    return Portraits(np.stack(frames), np.stack(landmarks)) if frames else None


def moved(picture: NDArray[np.uint8], x: int, y: int) -> NDArray[np.uint8]:
    """A picture [S,S,3] seen `x` pixels further right and `y` further down, mirrored at its borders; at most `SHIFT`
    either way."""
    size = len(picture)
    wide = cv2.copyMakeBorder(picture, SHIFT, SHIFT, SHIFT, SHIFT, cv2.BORDER_REFLECT)
    return wide[SHIFT + y :, SHIFT + x :][:size, :size]


def resized(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A square picture [S,S,3] at another size: shrinking averages, growing is cubic."""
    if len(picture) == size:
        return picture
    kernel = cv2.INTER_AREA if len(picture) > size else cv2.INTER_CUBIC
    return cv2.resize(picture, (size, size), interpolation=kernel)
