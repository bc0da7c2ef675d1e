"""Augmentation of a few frames of a face: other cameras, lights and codecs, so that nets read real people.

One look is drawn for all frames of a sample, as one camera would give them: colour, light, blur, resampling and
compression; only noise differs from frame to frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Look = Callable[[Pictures], Pictures]

_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class PictureAugment:
    """How far pictures are taken from what they were; `strength` scales all of it.

    tint, gain, contrast, gamma, saturation: largest relative change; light: largest change from one side of the picture
    to the other; blur: largest deviation in pixels; noise: largest deviation in steps of 255; the rest are
    probabilities, `clean` that of leaving a sample as it is.
    """

    tint: float = 0.15
    gain: float = 0.3
    contrast: float = 0.3
    gamma: float = 0.35
    saturation: float = 0.6
    light: float = 0.35
    blur: float = 1.2
    blur_probability: float = 0.4
    resample_probability: float = 0.25
    jpeg_probability: float = 0.3
    noise: float = 10.0
    noise_probability: float = 0.4
    clean: float = 0.1

    def look(self, rng: np.random.Generator) -> Look:
        """One look, to be applied to pictures uint8 [T,H,W,3] of one sample, as often as wanted."""
        if rng.random() < self.clean:
            return lambda pictures: pictures
        colour, steps = self._colour(rng), []
        angle, share = rng.uniform(0, 2 * np.pi), rng.uniform(-self.light, self.light)
        if rng.random() < self.blur_probability:
            sigma = rng.uniform(0.3, self.blur)
            steps.append(lambda picture: cv2.GaussianBlur(picture, (0, 0), sigma))
        if rng.random() < self.resample_probability:
            factor = rng.uniform(0.45, 0.95)
            steps.append(lambda picture: _resampled(picture, factor))
        if rng.random() < self.jpeg_probability:
            quality = int(rng.integers(25, 96))
            steps.append(lambda picture: _jpeg(picture, quality))
        sigma_noise = rng.uniform(1, self.noise) if rng.random() < self.noise_probability else 0.0
        seed = int(rng.integers(2**31))

        def apply(pictures: Pictures) -> Pictures:
            out = _lit(colour(pictures), angle, share)
            if steps:
                out = out.copy()
                for k in range(len(out)):
                    for step in steps:
                        out[k] = step(out[k])
            return _noisy(out, sigma_noise, seed) if sigma_noise else out

        return apply

    def _colour(self, rng: np.random.Generator) -> Look:
        saturation = 1 + rng.uniform(-self.saturation, self.saturation)
        matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * _GREY[None]
        gains = (1 + rng.uniform(-self.gain, self.gain)) * (1 + rng.uniform(-self.tint, self.tint, 3))
        contrast, gamma = 1 + rng.uniform(-self.contrast, self.contrast), np.exp(rng.uniform(-1, 1) * self.gamma)
        ramp = np.arange(256, dtype=np.float32)[:, None] / 255
        curve = np.clip((ramp * gains - 0.45) * contrast + 0.45, 0, 1) ** gamma
        table = (255 * curve + 0.5).astype(np.uint8)[None]

        def apply(pictures: Pictures) -> Pictures:
            # OpenCV takes the frames as one tall picture.
            tall = pictures.reshape(-1, pictures.shape[2], 3)
            return cv2.LUT(cv2.transform(tall, matrix), table).reshape(pictures.shape)

        return apply


def _lit(pictures: Pictures, angle: float, share: float) -> Pictures:
    """Brighter by `share` at one side and darker at the other."""
    height, width = pictures.shape[1:3]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    slope = np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5)
    gain = np.repeat(1 + np.float32(share) * slope.astype(np.float32), 3, axis=1).reshape(1, height, width, 3)
    return np.clip(pictures * gain, 0, 255).astype(np.uint8)


def _resampled(picture: Pictures, factor: float) -> Pictures:
    height, width = picture.shape[:2]
    fewer = cv2.resize(picture, (max(round(width * factor), 4), max(round(height * factor), 4)), interpolation=3)
    return cv2.resize(fewer, (width, height), interpolation=cv2.INTER_LINEAR)


def _jpeg(picture: Pictures, quality: int) -> Pictures:
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


def _noisy(pictures: Pictures, sigma: float, seed: int) -> Pictures:
    rng = np.random.default_rng(seed)
    # Drawn once and shifted for each frame: Gaussian numbers take long.
    sheet = rng.standard_normal(pictures.shape[1:], dtype=np.float32) * np.float32(sigma)
    moves = rng.integers(0, pictures.shape[1] * pictures.shape[2], len(pictures))
    flat = sheet.reshape(-1, 3)
    noise = np.stack([np.roll(flat, move, axis=0) for move in moves]).reshape(pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)
