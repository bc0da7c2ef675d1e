"""Augmentation of faces: other backgrounds, occluders, light, colours, cameras and codecs.

Everything works on RGB uint8 pictures [H,W,3] and is reproducible from the `numpy.random.Generator` that it is given.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .landmarks import (
    BROWS,
    JAW,
    LEFT_EYE,
    NOSE_BASE,
    OUTER_EYE_CORNERS,
    OUTER_LIPS,
    POINTS,
    RIGHT_EYE,
    UPPER_LIP,
    mirror,
)

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]


def colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Any colour; every third time one near skin, so that skin alone makes no face."""
    if rng.random() < 0.33:
        tone = np.array([235, 185, 155]) * rng.uniform(0.25, 1.0) + rng.normal(0, 12, 3)
        red, green, blue = (int(v) for v in tone.clip(0, 255))
    else:
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
    return red, green, blue


def relief(size: int, rng: np.random.Generator) -> Picture:
    """A lit landscape of folds and bumps: like cloth, hands, fur or rock, but none of them."""
    height = np.zeros((size, size), np.float32)
    along = np.exp(rng.normal(0, 0.7))
    for cells in (3, 6, 12, 24, 48, 96):
        shape_ = (max(int(cells * along), 2), max(int(cells / along), 2))
        knots = rng.standard_normal(shape_, dtype=np.float32) * np.float32(rng.uniform(0.2, 1) * cells**-0.9)
        height += cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        height = np.abs(height - np.float32(rng.normal(0, 0.1)))
    slopes = np.stack([cv2.Sobel(height, cv2.CV_32F, 1, 0), cv2.Sobel(height, cv2.CV_32F, 0, 1)], -1)
    turn = np.float32(rng.uniform(0, 2 * np.pi))
    slope = slopes @ np.array([np.cos(turn), np.sin(turn)], np.float32)
    shade = 0.6 + 0.25 * rng.uniform(0.5, 1.6) * np.tanh(slope / max(float(slope.std()), 1e-6))
    tones = np.array(colour(rng), np.float32) + rng.uniform(-60, 60) * height[..., None] / max(
        float(height.std()), 1e-6
    )
    return (tones * shade[..., None]).clip(0, 255).astype(np.uint8)


def texture(size: int, rng: np.random.Generator) -> Picture:
    """A picture of nothing: a gradient, noise of several scales or a relief, then shapes, stripes and strokes."""
    if rng.random() < 0.4:
        picture = relief(size, rng)
        for _ in range(rng.integers(0, 5)):
            shape(picture, rng, rng.uniform(0, size, 2), size * rng.uniform(0.02, 0.3))
        return picture
    base = np.array(colour(rng), np.float32) + np.zeros((size, size, 3), np.float32)
    for cells in (2, 4, 8, 16, 32, 64):
        if rng.random() < 0.6:
            knots = rng.normal(0, rng.uniform(5, 60), (cells, cells, 1 if rng.random() < 0.5 else 3)).astype(np.float32)
            grown = cv2.resize(knots, (size, size), interpolation=cv2.INTER_CUBIC)
            base += grown.reshape(size, size, -1)
    picture = np.ascontiguousarray(base.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.2:
        wave = np.sin(np.arange(size) * rng.uniform(0.05, 1.5))[:, None, None] * rng.uniform(10, 80)
        picture = (picture + (wave if rng.random() < 0.5 else wave.transpose(1, 0, 2))).clip(0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 16)):
        shape(picture, rng, rng.uniform(0, size, 2), size * rng.uniform(0.02, 0.35))
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 6))
    return picture


def shape(picture: Picture, rng: np.random.Generator, centre: NDArray[np.floating], radius: float) -> None:
    """Draw one filled or outlined thing: ellipse, rectangle, polygon, stroke or word."""
    paint, thick = colour(rng), -1 if rng.random() < 0.7 else int(rng.integers(1, 8))
    at, turn = (int(centre[0]), int(centre[1])), float(rng.uniform(0, 180))
    axes = (max(int(radius * rng.uniform(0.3, 1)), 1), max(int(radius * rng.uniform(0.3, 1)), 1))
    kind = rng.integers(0, 5)
    if kind == 0:
        cv2.ellipse(picture, at, axes, turn, 0, 360, paint, thick, cv2.LINE_AA)
    elif kind == 1:
        corners = cv2.boxPoints((at, (2 * axes[0], 2 * axes[1]), turn)).astype(np.int32)
        cv2.drawContours(picture, [corners], 0, paint, thick, cv2.LINE_AA)
    elif kind == 2:
        corners = (centre + rng.normal(0, radius, (int(rng.integers(3, 7)), 2))).astype(np.int32)
        cv2.fillPoly(picture, [corners], paint, cv2.LINE_AA)
    elif kind == 3:
        bends = np.cumsum(rng.normal(0, radius / 2, (6, 2)), 0) + centre
        cv2.polylines(picture, [bends.astype(np.int32)], False, paint, int(rng.integers(1, 10)), cv2.LINE_AA)
    else:
        word = "".join(chr(int(c)) for c in rng.integers(48, 123, rng.integers(1, 8)))
        face = int(rng.integers(0, 8))
        cv2.putText(picture, word, at, face, radius / 30, paint, int(rng.integers(1, 4)), cv2.LINE_AA)


def mirrored(picture: NDArray[np.uint8], points: Points) -> tuple[NDArray[np.uint8], Points]:
    """Left and right swapped, points [68,2] (pixels) renamed with them."""
    return np.ascontiguousarray(picture[:, ::-1]), mirror(points, picture.shape[1])


def dress(picture: Picture, points: Points, rng: np.random.Generator) -> None:
    """What the rendered people lack, drawn onto the face in place: glasses, beards, strands, things in front of it."""
    right, left = OUTER_EYE_CORNERS
    unit = float(np.linalg.norm(points[left] - points[right]))
    if unit < 4:
        return
    if rng.random() < 0.25:
        _glasses(picture, points, unit, rng)
    if rng.random() < 0.15:
        _beard(picture, points, unit, rng)
    if rng.random() < 0.15:
        _strands(picture, points, unit, rng)
    if rng.random() < 0.25:
        for _ in range(rng.integers(1, 4)):
            middle = points[rng.integers(0, POINTS)] + rng.normal(0, 0.4 * unit, 2)
            shape(picture, rng, middle, unit * rng.uniform(0.1, 0.7))


def _glasses(picture: Picture, points: Points, unit: float, rng: np.random.Generator) -> None:
    rim = colour(rng) if rng.random() < 0.4 else (int(rng.integers(0, 70)),) * 3
    width = max(1, int(unit * rng.uniform(0.01, 0.07)))
    eyes = [points[RIGHT_EYE].mean(0), points[LEFT_EYE].mean(0)]
    along = (eyes[1] - eyes[0]) / max(float(np.linalg.norm(eyes[1] - eyes[0])), 1e-3)
    turn = float(np.degrees(np.arctan2(along[1], along[0])))
    reach = 0.5 * float(np.linalg.norm(eyes[1] - eyes[0]))
    high, wide, round_ = rng.uniform(0.16, 0.3) * unit, rng.uniform(0.7, 0.95) * reach, rng.random() < 0.5
    before = picture.copy()
    for eye in eyes:
        at = (int(eye[0]), int(eye[1] + 0.04 * unit))
        box = cv2.boxPoints((at, (2 * wide, 2 * high), turn)).astype(np.int32)
        tint = colour(rng) if rng.random() < 0.3 else (20, 20, 20)
        for thick, paint in ((-1, tint), (width, rim)):
            if round_:
                cv2.ellipse(
                    picture, at, (max(int(wide), 1), max(int(high), 1)), turn, 0, 360, paint, thick, cv2.LINE_AA
                )
            else:
                cv2.drawContours(picture, [box], 0, paint, thick, cv2.LINE_AA)
            if thick == -1:
                opacity = rng.uniform(0.0, 0.25) if rng.random() < 0.8 else rng.uniform(0.5, 0.95)
                picture[:] = cv2.addWeighted(picture, opacity, before, 1 - opacity, 0)
    bridge = [(eyes[0] + along * wide).astype(int), (eyes[1] - along * wide).astype(int)]
    cv2.line(picture, tuple(map(int, bridge[0])), tuple(map(int, bridge[1])), rim, width, cv2.LINE_AA)
    for eye, ear, sign in ((eyes[0], points[JAW][0], -1), (eyes[1], points[JAW][-1], 1)):
        start = (eye + sign * along * wide).astype(int)
        cv2.line(picture, tuple(map(int, start)), tuple(map(int, ear)), rim, width, cv2.LINE_AA)
    if rng.random() < 0.3:
        glint = eyes[int(rng.integers(0, 2))] + rng.normal(0, 0.1 * unit, 2)
        cv2.ellipse(picture, tuple(map(int, glint)), (max(int(unit * 0.1), 1), 2), 150, 0, 360, (240, 240, 245), -1)


def _beard(picture: Picture, points: Points, unit: float, rng: np.random.Generator) -> None:
    chin = points[JAW][3:-3] + np.array([0, rng.uniform(0, 0.15) * unit], np.float32)
    upper = points[UPPER_LIP][::-1] - np.array([0, rng.uniform(0.02, 0.1) * unit], np.float32)
    mask = np.zeros(picture.shape[:2], np.uint8)
    if rng.random() < 0.8:
        cv2.fillPoly(mask, [np.concatenate([chin, upper]).astype(np.int32)], 255)
        cv2.fillPoly(mask, [points[OUTER_LIPS].astype(np.int32)], 0)
    else:
        lip = np.concatenate([points[UPPER_LIP], points[NOSE_BASE][::-2]])
        cv2.fillPoly(mask, [lip.astype(np.int32)], 255)
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return
    part = (slice(y, y + height), slice(x, x + width))
    soft = cv2.GaussianBlur(mask[part], (0, 0), max(0.05 * unit, 0.5)).astype(np.float32)[..., None] / 255
    hair = np.array(colour(rng), np.float32) * np.float32(rng.uniform(0.05, 0.8))
    grain = rng.standard_normal((height, width, 1), dtype=np.float32) * 25
    soft *= np.float32(rng.uniform(0.4, 0.95))
    picture[part] = (picture[part] * (1 - soft) + (hair + grain) * soft).clip(0, 255).astype(np.uint8)


def _strands(picture: Picture, points: Points, unit: float, rng: np.random.Generator) -> None:
    paint = tuple(int(v * rng.uniform(0.05, 0.7)) for v in (230, 190, 140))
    top = points[BROWS].mean(0) - np.array([0, 0.6 * unit], np.float32)
    for _ in range(rng.integers(3, 40)):
        start = top + rng.normal(0, 0.5 * unit, 2) * (1, 0.3)
        bend = start + np.array([rng.normal(0, 0.3), rng.uniform(0.2, 0.9)], np.float32) * unit
        end = bend + np.array([rng.normal(0, 0.3), rng.uniform(-0.1, 0.6)], np.float32) * unit
        line = np.stack([start, bend, end]).astype(np.int32)
        cv2.polylines(picture, [line], False, paint, int(rng.integers(1, 3)), cv2.LINE_AA)


def photograph(picture: Picture, rng: np.random.Generator, face: float) -> Picture:
    """The picture as some camera, codec, painter or printer might have it. `face`: height of faces in it, pixels."""
    height, width = picture.shape[:2]
    if rng.random() < 0.4:
        # To no less than 16 pixels of face: what is smaller is not asked for.
        fewer = float(np.exp(rng.uniform(np.log(min(max(16 / face, 0.15), 1.0)), 0)))
        small = (max(int(width * fewer), 4), max(int(height * fewer), 4))
        kernels = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST, cv2.INTER_AREA)
        picture = cv2.resize(picture, small, interpolation=kernels[int(rng.integers(0, 4))])
        picture = cv2.resize(picture, (width, height), interpolation=kernels[int(rng.integers(0, 2))])
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, max(0.025 * face, 0.6)))
    if rng.random() < 0.08:
        picture = cv2.medianBlur(picture, int(rng.choice([3, 5])))
    if rng.random() < 0.1:
        length, angle = rng.uniform(2, max(0.08 * face, 3)), rng.uniform(0, np.pi)
        side = int(length) | 1
        kernel = np.zeros((side, side), np.float32)
        middle = side // 2
        ahead = (int(middle + middle * np.cos(angle)), int(middle + middle * np.sin(angle)))
        behind = (int(middle - middle * np.cos(angle)), int(middle - middle * np.sin(angle)))
        cv2.line(kernel, behind, ahead, 1.0)
        picture = cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 1.0))
    pixels = light(picture.astype(np.float32) / 255, rng)
    if rng.random() < 0.5:
        grain = rng.standard_normal((height, width, 3 if rng.random() < 0.6 else 1), dtype=np.float32)
        pixels = pixels + grain * np.float32(rng.uniform(0, 0.08))
    picture = cv2.convertScaleAbs(np.maximum(pixels, 0), alpha=255)
    if rng.random() < 0.35:
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 95))])
        picture = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return picture


def light(pixels: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Exposure, contrast, gamma, tint, saturation, grey, and light or shadow from one side. Pixels 0..1."""
    height, width = pixels.shape[:2]
    if rng.random() < 0.7:
        pixels = cv2.pow(pixels, float(np.exp(rng.normal(0, 0.35))))
    if rng.random() < 0.35:
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        a, steep, strong = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 8), rng.uniform(0.2, 0.85)
        side = (x - rng.uniform(-0.5, 0.5)) * np.cos(a) + (y - rng.uniform(-0.5, 0.5)) * np.sin(a)
        pixels = pixels * (1 - np.float32(strong) / (1 + np.exp(-np.float32(steep) * side)))[..., None]
    mean = pixels.mean()
    contrast, level = rng.uniform(0.55, 1.35), rng.normal(0, 0.08)
    pixels = (pixels - mean) * np.float32(contrast) + np.float32(mean + level)
    if rng.random() < 0.5:
        pixels = pixels * rng.uniform(0.7, 1.3, 3).astype(np.float32)
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    choice = rng.random()
    keep = 0.0 if choice < 0.15 else rng.uniform(0.3, 1.6) if choice < 0.6 else 1.0
    if keep != 1.0:
        pixels = grey[..., None] + np.float32(keep) * (pixels - grey[..., None])
    return pixels
