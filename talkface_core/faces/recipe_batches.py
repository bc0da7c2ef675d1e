"""Training batches of the face nets: crops for the landmark net; pictures made of faces and textures to detect in."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .align import pixel_matrix
from .augment import Picture, Points, dress, mirrored, photograph, texture
from .geometry import fit_similarity, rotation, transform, turns
from .landmarks import LEFT_EYE, MIRROR, RIGHT_EYE, mirror
from .net import STRIDE, UNIT
from .recipe_data import FacePictures
from .rotated_box import RotatedBox

CANVAS = 256
"""Side of the finder's pictures, pixels."""

WRONG = 0.3
"""Share of the reader's crops that show no face in its place."""

HEIGHT = 0.62
"""Height of the mean face's 68 points in the reader's crop, by its side."""

TEXTURES = 400


class FaceSamples:
    """Draws single crops and canvases, reproducibly from the generator that it is given.

    `face` [68,2] is the mean face in the reader's crop, of `size` pixels.
    """

    def __init__(self, pictures: FacePictures, face: NDArray[np.float32], size: int) -> None:
        self._pictures, self._face, self._size = pictures, face, size
        rng = np.random.default_rng(0)
        self._textures = np.stack([texture(CANVAS, rng) for _ in range(TEXTURES)])

    def crop(
        self, rng: np.random.Generator
    ) -> tuple[Picture, Points, NDArray[np.float32], NDArray[np.float32], np.float32]:
        """A crop for the reader: pixels, landmarks (shares) and their weights, pose (degrees), 1 or 0 for a face in its
        place."""
        size = self._size
        rgba, points, weights, turn, masked = self._face_of(rng)
        there, kind = 1.0, rng.random()
        if rng.random() < WRONG:
            there = 0.0
        rough = rng.random() < 0.5
        jitter = {
            "scale": float(np.exp(rng.normal(0, 0.18 if rough else 0.06))),
            "turn": rng.normal(0, 12 if rough else 4),
            "shift": rng.normal(0, 0.07 if rough else 0.025, 2),
        }
        if not there and kind < 0.25:
            away = rng.uniform(0, 2 * np.pi)
            jitter["shift"] = rng.uniform(0.5, 1.1) * np.array([np.cos(away), np.sin(away)])
        elif not there and kind < 0.5:
            # A part of a face, or of what is around it: an eye, an ear, hair, a collar.
            jitter["scale"] = float(np.exp(rng.uniform(np.log(2.2), np.log(7))))
            jitter["shift"] = rng.uniform(-0.6, 0.6, 2)
            jitter["turn"] = rng.uniform(-180, 180)
        elif not there and kind < 0.55:
            jitter["scale"] = float(np.exp(-rng.uniform(np.log(2.4), np.log(6))))
        elif not there and kind < 0.62:
            jitter["turn"] = rng.uniform(110, 250)
        stretch = np.exp(rng.normal(0, 0.06, 2)) if rng.random() < 0.5 else np.ones(2)
        square = RotatedBox.of(points * stretch.astype(np.float32), self._face)
        matrix, angle = square.moved(**jitter).matrix(size)
        matrix[:, :2] *= stretch
        moved = cv2.warpAffine(
            cv2.GaussianBlur(rgba, (0, 0), 0.6) if rng.random() < 0.5 else rgba,
            pixel_matrix(matrix),
            (size, size),
            flags=cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT,
        )
        crop = cv2.cvtColor(moved, cv2.COLOR_RGBA2RGB)
        if not there and 0.62 <= kind < 0.85:
            crop = self._nothing(rng)
        elif masked and rng.random() < 0.65:
            crop = over(moved, self._texture(rng)[:size, :size])
        if not there and kind >= 0.85:
            crop = shuffled(crop, rng)
        crop = photograph(crop, rng, HEIGHT * size * jitter["scale"])
        landmarks = (points @ matrix[:, :2].T + matrix[:, 2]) / size
        return crop, landmarks.astype(np.float32), weights, turns(turn, angle).astype(np.float32), np.float32(there)

    def canvas(
        self, rng: np.random.Generator
    ) -> tuple[Picture, NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """A picture for the finder, its heat map [h,w], targets [5,h,w] and where these count [h,w]."""
        canvas, squares = self._texture(rng), []
        for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
            self._paste(canvas, rng, [], wrong=True)
        for _ in range(int(rng.choice([0, 1, 1, 1, 1, 2, 3]))):
            self._paste(canvas, rng, squares)
        least = min((square.side for square in squares), default=100.0)
        canvas = photograph(canvas, rng, HEIGHT * least)
        return canvas, *finder_targets(squares, CANVAS // STRIDE)

    def _face_of(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], Points, NDArray[np.float32], NDArray[np.float64], bool]:
        """A picture [S,S,4], perhaps mirrored and dressed up, its landmarks and their weights, rotation and whether its
        alpha holds."""
        index = int(rng.choice(len(self._pictures), p=self._pictures.chance))
        rgba, points = self._pictures.picture(index), self._pictures.landmarks[index].copy()
        weights = self._pictures.weights[index]
        pose = self._pictures.pose[index].astype(np.float64)
        if rng.random() < 0.5:
            rgba, points = mirrored(rgba, points)
            weights = weights[list(MIRROR)]
            pose = pose * (-1, 1, -1)
        picture = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        dress(picture, points, rng)
        cv2.mixChannels([picture], [rgba], [0, 0, 1, 1, 2, 2])
        return rgba, points, weights, rotation(pose[None])[0], bool(self._pictures.masked[index])

    def _texture(self, rng: np.random.Generator) -> Picture:
        picture = self._textures[int(rng.integers(0, len(self._textures)))]
        picture = np.rot90(picture, int(rng.integers(0, 4)))
        return np.ascontiguousarray(picture[:, :, rng.permutation(3)])

    def _nothing(self, rng: np.random.Generator) -> Picture:
        """A part of a texture, of any size, as large as a crop."""
        size = self._size
        side = int(rng.integers(24, CANVAS))
        x, y = rng.integers(0, CANVAS - side + 1, 2)
        part = self._texture(rng)[y : y + side, x : x + side]
        return cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR)

    def _paste(self, canvas: Picture, rng: np.random.Generator, squares: list[RotatedBox], wrong: bool = False) -> None:
        """Put one face on the canvas where no other is, and note its square; or pieces of one, noting nothing."""
        rgba, points, _, _, masked = self._face_of(rng)
        side = float(np.exp(rng.uniform(np.log(26), np.log(340))))
        lean = rng.normal(0, 10) if rng.random() < 0.65 else rng.uniform(-48, 48)
        edge = 0.25 * side if side < CANVAS else 0.3 * CANVAS
        there = RotatedBox(*rng.uniform(edge, CANVAS - edge, 2), side, float(np.radians(lean)))
        if any(np.hypot(there.x - s.x, there.y - s.y) < 0.45 * (there.side + s.side) for s in squares):
            return
        kind = rng.choice(["shuffled", "part", "reversed"]) if wrong else ""
        if kind == "shuffled":
            rgba = shuffled(rgba, rng)
        elif kind == "part":
            side = rng.uniform(300, 1200)
            there = replace(there, side=side)
        elif kind == "reversed":
            there = replace(there, turn=there.turn + np.pi)
        stretch = np.exp(rng.normal(0, 0.05, 2)) if rng.random() < 0.5 else np.ones(2)
        here = RotatedBox.of(points * stretch.astype(np.float32), self._face)
        matrix = there.from_square(here)
        matrix[:, :2] *= stretch
        if not masked or rng.random() < 0.25:
            margin = int(rng.integers(2, 40))
            rgba[..., 3] = 0
            rgba[margin:-margin, margin:-margin, 3] = 255
            if rng.random() < 0.6:
                rgba[..., 3] = cv2.GaussianBlur(rgba[..., 3], (0, 0), margin / 2)
        shrink = side / here.side
        if shrink < 0.6:
            fewer = max(int(len(rgba) * shrink * 1.2), 16)
            matrix[:, :2] *= len(rgba) / fewer
            rgba = cv2.resize(rgba, (fewer, fewer), interpolation=cv2.INTER_AREA)
        moved = cv2.warpAffine(rgba, pixel_matrix(matrix), (CANVAS, CANVAS), flags=cv2.INTER_LINEAR)
        if kind == "part":
            # A window that shows an eye, an ear or a collar, never a face.
            low, window = rng.integers(0, CANVAS - 32, 2), rng.integers(16, 90, 2).clip(max=side / 4).astype(int)
            window_mask = np.zeros_like(moved[..., 3])
            window_mask[low[1] : low[1] + window[1], low[0] : low[0] + window[0]] = 255
            moved[..., 3] = cv2.min(moved[..., 3], cv2.GaussianBlur(window_mask, (0, 0), rng.uniform(0.5, 6)))
        canvas[:] = over(moved, canvas)
        if not wrong:
            squares.append(there)


def mean_crop(landmarks: NDArray[np.float32], pose: NDArray[np.float32]) -> Tensor:
    """The mean face in the reader's crop [68,2]: frontal faces fitted to each other, mirrored, `HEIGHT` high."""
    frontal = np.abs(pose).max(1) < 10
    chosen = torch.from_numpy(landmarks[frontal] if frontal.any() else landmarks).double()
    mean = chosen[0]
    for _ in range(4):
        mean = transform(fit_similarity(chosen, mean), chosen).mean(0)
        flipped = mirror(mean, 0)[None]
        mean = (mean + transform(fit_similarity(flipped, mean), flipped)[0]) / 2
    low, high = mean.amin(0), mean.amax(0)
    eyes = mean[LEFT_EYE].mean(0) - mean[RIGHT_EYE].mean(0)
    turn = torch.atan2(eyes[1], eyes[0])
    upright = torch.stack([torch.stack([turn.cos(), turn.sin()]), torch.stack([-turn.sin(), turn.cos()])])
    mean = (mean - (low + high) / 2) @ upright.T
    low, high = mean.amin(0), mean.amax(0)
    return ((mean - (low + high) / 2) * HEIGHT / (high - low)[1] + 0.5).float()


def over(rgba: NDArray[np.uint8], below: Picture) -> Picture:
    """A picture with alpha [H,W,4] laid over another [H,W,3]."""
    alpha = cv2.cvtColor(rgba[..., 3], cv2.COLOR_GRAY2RGB)
    front = cv2.multiply(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), alpha, scale=1 / 255)
    return cv2.add(front, cv2.multiply(np.ascontiguousarray(below), 255 - alpha, scale=1 / 255))


def shuffled(picture: Picture, rng: np.random.Generator) -> Picture:
    """The picture cut into 3 x 3 to 5 x 5 pieces that are laid out anew: the parts of a face, but no face."""
    pieces = int(rng.integers(3, 6))
    side = len(picture) // pieces
    out = picture.copy()
    order = rng.permutation(pieces**2)
    for there, here in enumerate(order):
        a, b = divmod(there, pieces)
        c, d = divmod(int(here), pieces)
        out[a * side : (a + 1) * side, b * side : (b + 1) * side] = picture[
            c * side : (c + 1) * side, d * side : (d + 1) * side
        ]
    return out


def finder_targets(
    squares: list[RotatedBox], cells: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Heat map [h,w] (1 in a face's cell, falling around it), targets [5,h,w] and where these count [h,w]."""
    heat, sure = np.zeros((cells, cells), np.float32), np.zeros((cells, cells), np.float32)
    targets = np.zeros((5, cells, cells), np.float32)
    middle = np.arange(cells) + 0.5
    for square in squares:
        x, y = square.x / STRIDE, square.y / STRIDE
        away = np.square(middle[None] - x) + np.square(middle[:, None] - y)
        width = float(np.clip(0.08 * square.side / STRIDE, 0.7, 3.0))
        heat = np.maximum(heat, np.exp(-away / (2 * width**2)))
        row, column = (int(np.clip(v, 0, cells - 1)) for v in (y, x))
        heat[row, column] = 1
        near = away <= max(1.5, width) ** 2
        near[row, column] = True
        sure[near] = 1
        targets[0][near] = (x - middle[None] + 0 * middle[:, None])[near]
        targets[1][near] = (y - middle[:, None] + 0 * middle[None])[near]
        targets[2:, near] = np.array([np.log2(square.side / UNIT), np.cos(square.turn), np.sin(square.turn)])[:, None]
    return heat.astype(np.float32), targets, sure
