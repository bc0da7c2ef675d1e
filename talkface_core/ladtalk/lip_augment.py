"""Augmentation of mouths in training: other lips for a sample, and other mouths in its references.

A generator that was shown one kind of mouth takes what it has never seen, a red lip or a row of teeth, for skin and
leaves it where it was. Painted lips, the same in the sample and its reference, teach it to take their colour over;
patches on the reference's mouth alone teach it that what stands there never tells what to paint.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..faces.landmarks import INNER_LIPS, OUTER_LIPS

Pictures = NDArray[np.uint8]
Points = NDArray[np.float32]

_FINE = 4  # bits of the subpixels that OpenCV draws with

# Teeth, the dark between the lips, tongue and gums, lips: RGB, and how far each may stray.
_PATCHES = (((225, 215, 200), 25), ((40, 20, 20), 20), ((165, 80, 80), 35), ((180, 110, 100), 50))


def paint_lips(pictures: Pictures, landmarks: Points, rng: np.random.Generator) -> Pictures:
    """Pictures [T,S,S,3] with lips in a colour of their own, where landmarks [T,68,2] (pixels) have them."""
    colour = np.array([rng.uniform(90, 230), *rng.uniform(20, 130, 2)], np.float32)
    opacity, gloss = rng.uniform(0.25, 0.95), rng.uniform(0.5, 1.0)
    out = pictures.copy()
    for picture, points in zip(out, landmarks, strict=True):
        mask = np.zeros(picture.shape[:2], np.uint8)
        for part, value in ((OUTER_LIPS, 255), (INNER_LIPS, 0)):
            cv2.fillPoly(mask, [_fixed(points[part])], value, cv2.LINE_8, _FINE)
        alpha = opacity * cv2.GaussianBlur(mask, (0, 0), 0.7).astype(np.float32)[..., None] / 255
        # The lips' own light and shade stay.
        shade = picture.mean(-1, keepdims=True) / 128
        picture[:] = np.clip(picture + alpha * (colour * (1 - gloss + gloss * shade) - picture), 0, 255)
    return out


def disturb_mouths(pictures: Pictures, landmarks: Points, rng: np.random.Generator) -> Pictures:
    """Pictures [T,S,S,3] with patches as of teeth, tongue and lips laid over the mouth, the same in all frames."""
    size, out = pictures.shape[1], pictures.copy()
    draws = []
    for _ in range(int(rng.integers(1, 4))):
        colour, stray = _PATCHES[rng.integers(len(_PATCHES))]
        colour = np.array(colour, np.float32) + rng.uniform(-stray, stray) + rng.uniform(-12, 12, 3)
        place, span = rng.uniform(-0.35, 0.35, 2), (rng.uniform(0.25, 0.75), rng.uniform(0.08, 0.4))
        draws.append((colour, place, span, rng.uniform(-20, 20), rng.uniform(0.5, 1.0), rng.uniform(0.6, 1.8)))
    for picture, points in zip(out, landmarks, strict=True):
        lips = points[OUTER_LIPS]
        middle, width = lips.mean(0), max(float(np.ptp(lips[:, 0])), size / 12)
        for colour, place, span, angle, opacity, blur in draws:
            mask = np.zeros((size, size), np.uint8)
            centre = _fixed(middle + place * width * [1, 0.6])[0, 0].tolist()
            axes = [max(int(share * width * 2**_FINE * 0.7), 1) for share in span]
            cv2.ellipse(mask, centre, axes, angle, 0, 360, 255, -1, cv2.LINE_8, _FINE)
            alpha = opacity * cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32)[..., None] / 255
            picture[:] = np.clip(picture + alpha * (colour - picture), 0, 255)
    return out


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Points [N,2] or [2] as OpenCV's fixed-point numbers [N,1,2]; it counts from the centre of the first pixel."""
    return np.round((np.reshape(points, (-1, 1, 2)) - 0.5) * 2**_FINE).astype(np.int32)
