"""Scene detection: cuts, dissolves and fades, told from flashes, moving cameras and changing light.

Each frame leaves a signature: a grey picture of 18 x 32 pixels and histograms of luma and chroma. A cut parts all
frames before it from all frames after it; so the least distance between a few frames on either side counts, and a
flash, after which the old picture is back, is none. A dissolve is two pictures mixed in a rising share; a fade is one
with black. Light that changes keeps the picture's structure, and a camera that pans shows more than a mix.

Measured on 36 clips, 6 of them real: neighbouring frames of one scene differ by at most 0.42 in `distance`, frames of
different people filmed alike by 1.1 or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

ROWS, COLUMNS = 18, 32
_LUMAS, _CHROMAS = 16, 8

# What weighs 1 in `distance`: mean difference of the pictures, loss of correlation, share of pixels in other bins.
_PICTURE, _STRUCTURE, _COLOURS = 0.06, 0.25, 0.15
_LARGEST = 2.0

CUT = 0.8
"""`distance` from which on two frames are of two scenes."""

_TIMES = 3.0  # by how much a cut surpasses the usual change around it
# Loss of correlation below which only the light has changed, at once and slowly.
_LEAST_STRUCTURE, _LEAST_MIXED = 0.08, 0.2
_FLASH = 6  # frames that may differ without being a scene: 0.24 s
_AROUND = 12  # frames before and after that tell what change is usual
_SPANS = (6, 12, 25)  # half lengths of dissolves that are looked for, frames
_UNMIXED = 0.22  # what a mix of two pictures may leave unexplained; pans leave more


@dataclass(frozen=True)
class Signatures:
    """What T frames leave: pictures uint8 [T,18,32], grey; colours float16 [T,80], shares of pixels in bins of luma
    and of chroma, each group of which sums to 1."""

    pictures: NDArray[np.uint8]
    colours: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.pictures)


@dataclass(frozen=True)
class Scene:
    """The frames start to stop - 1, all of one scene."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def signature(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Picture and colours of one RGB frame [H,W,3]; see `Signatures`."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    small = cv2.resize(np.ascontiguousarray(frame), (2 * COLUMNS, 2 * ROWS), interpolation=cv2.INTER_AREA)
    luma, red, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))
    lumas = np.bincount(luma.ravel() // (256 // _LUMAS), minlength=_LUMAS)
    # Chroma keeps to the middle of its range; the outermost bins take the rest.
    rows, columns = ((p.ravel().astype(np.int64) - 64) // (128 // _CHROMAS) for p in (red, blue))
    cells = rows.clip(0, _CHROMAS - 1) * _CHROMAS + columns.clip(0, _CHROMAS - 1)
    chromas = np.bincount(cells, minlength=_CHROMAS**2)
    picture = cv2.resize(luma, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return picture, (np.concatenate([lumas, chromas]) / luma.size).astype(np.float16)


def join_signatures(signatures: list[tuple[NDArray[np.uint8], NDArray[np.float16]]]) -> Signatures:
    """Signatures of single frames as one."""
    if not signatures:
        return Signatures(np.zeros((0, ROWS, COLUMNS), np.uint8), np.zeros((0, _LUMAS + _CHROMAS**2), np.float16))
    pictures, colours = zip(*signatures, strict=True)
    return Signatures(np.stack(pictures), np.stack(colours))


def find_scenes(signatures: Signatures) -> list[Scene]:
    """The scenes of a film, in order. Frames amid a dissolve or a fade belong to none."""
    if not len(signatures):
        return []
    sharp = find_cuts(signatures)
    edges = [0, *sharp, len(signatures)]
    mixed = np.zeros(len(signatures), bool)
    for start, stop in pairwise(edges):
        for first, last in find_dissolves(signatures, start, stop):
            mixed[first : last + 1] = True
    scenes = []
    for start, stop in pairwise(edges):
        bounds = np.flatnonzero(np.diff(np.concatenate([[True], mixed[start:stop], [True]]).astype(np.int8)))
        scenes += [Scene(start + int(a), start + int(b)) for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
    return scenes


def find_cuts(signatures: Signatures) -> list[int]:
    """The frames with which a new scene begins at once."""
    total = len(signatures)
    if total < 2:
        return []
    step, structure = _distances(signatures, np.arange(total - 1), np.arange(1, total))
    usual = np.array([_usual(step, k) for k in range(total - 1)])
    likely = (step > np.maximum(CUT, _TIMES * usual)) & (structure > _LEAST_STRUCTURE)
    return [int(k) + 1 for k in np.flatnonzero(likely) if _parted(signatures, int(k) + 1)]


def _usual(step: NDArray[np.float64], k: int) -> float:
    """The median change around the step k, itself left out."""
    around = np.concatenate([step[max(k - _AROUND, 0) : k], step[k + 1 : k + 1 + _AROUND]])
    return float(np.median(around)) if len(around) else 0.0


def _parted(signatures: Signatures, cut: int) -> bool:
    """Whether none of the frames just before `cut` looks like one of those just after it."""
    before = np.arange(max(cut - _FLASH, 0), cut)
    after = np.arange(cut, min(cut + _FLASH, len(signatures)))
    a, b = (grid.ravel() for grid in np.meshgrid(before, after))
    return bool(_distances(signatures, a, b)[0].min() > CUT)


def find_dissolves(signatures: Signatures, start: int, stop: int) -> list[tuple[int, int]]:
    """First and last frame of each slow change between two pictures, among the frames start to stop - 1."""
    dissolves: list[tuple[int, int]] = []
    for span in _SPANS:
        middles = np.arange(start + span, stop - span)
        if not len(middles):
            break
        far, structure = _distances(signatures, middles - span, middles + span)
        for middle in middles[(far > CUT) & (structure > _LEAST_MIXED)]:
            known = any(first <= middle <= last for first, last in dissolves)
            mix = None if known else _mixed(signatures.pictures[middle - span : middle + span + 1])
            if mix is not None:
                dissolves.append((int(middle) - span + mix[0], int(middle) - span + mix[1]))
    return dissolves


def _mixed(pictures: NDArray[np.uint8]) -> tuple[int, int] | None:
    """First and last of pictures [n,18,32] that are a mix of the first and the last one in a rising share."""
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    a, way = flat[0], flat[-1] - flat[0]
    share = (flat - a) @ way / max(float(way @ way), 1e-6)
    left = np.abs(flat - a - share[:, None] * way).mean(1) / max(float(np.abs(way).mean()), 1e-6)
    inside = np.flatnonzero((share > 0.2) & (share < 0.8))
    if not len(inside) or left.max() > _UNMIXED or np.diff(share).min() < -0.1:
        return None
    # At its ends motion hides the mix: they are extrapolated from the middle.
    edge = len(inside) // 3 + 1
    return max(int(inside[0]) - edge, 0), min(int(inside[-1]) + edge, len(pictures) - 1)


def distance(signatures: Signatures, a: int, b: int) -> float:
    """How much the frames a and b differ: 0 not at all, 2 in all respects."""
    return float(_distances(signatures, np.array([a]), np.array([b]))[0][0])


def _distances(
    signatures: Signatures, a: NDArray[np.integer], b: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances of pairs of frames and how much of the pictures' correlation is lost (0 to 2)."""
    out, lost = np.zeros(len(a)), np.zeros(len(a))
    for start in range(0, len(a), 4096):
        part = slice(start, start + 4096)
        p, q = (signatures.pictures[index[part]].astype(np.float32) / 255 for index in (a, b))
        lost[part] = 1 - _correlation(p, q)
        colours = signatures.colours[a[part]].astype(np.float32) - signatures.colours[b[part]].astype(np.float32)
        parts = (
            np.abs(p - q).mean((1, 2)) / _PICTURE,
            lost[part] / _STRUCTURE,
            np.abs(colours).sum(1) / 4 / _COLOURS,
        )
        out[part] = np.mean([value.clip(0, _LARGEST) for value in parts], 0)
    return out, lost


def _correlation(p: NDArray[np.float32], q: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of pictures [n,18,32]. Two plain ones are alike; a plain one is like no other."""
    p, q = (x.reshape(len(x), -1) - x.mean((1, 2))[:, None] for x in (p, q))
    a, b = (np.sqrt(np.square(x).mean(1)) for x in (p, q))
    plain = np.minimum(a, b) < 0.004
    both = np.maximum(a, b) < 0.008
    return np.where(plain, both.astype(np.float32), (p * q).mean(1) / np.maximum(a * b, 1e-6))
