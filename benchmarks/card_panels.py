"""The parts that cards of workflows are made of: frames whole or close, strips of film, sound, curves, latents.

A panel draws one box of a card from what the workflow was given and what it made.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from talkface_core.dae_talker.decode import encode, fit_square
from talkface_core.dae_talker.model import BUNDLED, load_autoencoder
from talkface_core.faces import landmarks as part
from talkface_core.faces.head_pose import HeadPose
from talkface_core.media.audio import load_audio

from .card_clips import Box, Clip, Frames, Seen, View

DARK, GREEN, AMBER, WHITE = (20, 24, 28), (120, 210, 150), (240, 175, 85), (250, 250, 250)
GAP = 4
"""Pixels between pictures."""
LINES = (
    *(part.JAW, part.RIGHT_BROW, part.LEFT_BROW, part.NOSE_BRIDGE, part.NOSE_BASE),
    *(part.RIGHT_EYE, part.LEFT_EYE, part.OUTER_LIPS, part.INNER_LIPS),
)
CLOSED = (part.RIGHT_EYE, part.LEFT_EYE, part.OUTER_LIPS, part.INNER_LIPS)


class Panel(Protocol):
    """Draws one box of a card, of this width and height in pixels."""

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image: ...


@dataclass(frozen=True)
class Shots:
    """Moments of a video beside or below each other; `holes` make it a film, `grey` sets what was given apart,
    `marked` draws the landmarks that a face was followed by, `bare` nothing but them."""

    source: str = "video"
    view: View = View.WHOLE
    count: int = 1
    first: int = 0
    of: int = 0
    person: int = 0
    seconds: tuple[float, ...] = ()
    down: bool = False
    holes: bool = False
    grey: bool = False
    marked: bool = False
    bare: bool = False

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        clip = seen.clip(self.source, self.person)
        moments = seen.moments(self.of or self.count, self.view, self.person, self.seconds)
        picture = Image.new("RGB", size, DARK)
        edge = (size[0] // 9 if self.down else size[1] // 8) if self.holes else 0
        along, across = size[::-1] if self.down else size
        for place, index in enumerate(moments[self.first : self.first + self.count]):
            start, stop = ((along + GAP) * (place + shift) // self.count for shift in (0, 1))
            tile = (stop - start - GAP, across - 2 * edge)
            tile = tile[::-1] if self.down else tile
            picture.paste(self._tile(clip, index, tile), (edge, start) if self.down else (start, edge))
        if self.holes:
            _perforate(picture, edge, self.down)
        return picture

    def _tile(self, clip: Clip, index: int, size: tuple[int, int]) -> Image.Image:
        box = clip.box(index, self.view, size[0] / size[1])
        tile = _cut(clip.frames[index], box, size)
        if self.grey:
            tile = tile.convert("L").convert("RGB")
        if self.bare:
            tile = Image.new("RGB", size, DARK)
        if self.marked or self.bare:
            points = clip.found(index) if self.bare else clip.points[index]
            _mark(tile, (points - box[:2]) * (size[0] / (box[2] - box[0])))
        return tile


@dataclass(frozen=True)
class Still:
    """A picture that was given, its middle; `grey` sets it apart."""

    file: Path
    grey: bool = False

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        with Image.open(self.file) as picture:
            tile = ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)
        return tile.convert("L").convert("RGB") if self.grey else tile


@dataclass(frozen=True)
class Split:
    """One moment, the left of the face from one video and the right from another, as a slider compares them."""

    left: str
    right: str = "video"
    view: View = View.FACE

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        (index,) = seen.moments(1, self.view)
        box = seen.clip("video").box(index, self.view, size[0] / size[1])
        before, after = (_cut(seen.clip(name).frames[index], box, size) for name in (self.left, self.right))
        middle, half = size[0] // 2, size[1] // 2
        after.paste(before.crop((0, 0, middle, size[1])))
        draw = ImageDraw.Draw(after)
        draw.rectangle((middle - 2, 0, middle + 2, size[1]), fill=WHITE)
        draw.ellipse((middle - 22, half - 22, middle + 22, half + 22), fill=WHITE)
        for sign in (-1, 1):
            tip = middle + 16 * sign
            draw.polygon(((tip, half), (tip - 10 * sign, half - 9), (tip - 10 * sign, half + 9)), fill=DARK)
        return after


@dataclass(frozen=True)
class Cropped:
    """A whole frame of the video, pale around the square of the face that was cut out and put back."""

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        (index,) = seen.moments(1, View.FACE)
        clip = seen.clip("video")
        scale = size[0] / clip.frames.shape[1]
        picture = _cut(clip.frames[index], clip.box(index, View.WHOLE, 1.0), size)
        square = tuple(round(scale * edge) for edge in clip.box(index, View.CROP, 1.0))
        pale = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", size, WHITE), 0.45)
        pale.paste(picture.crop(square), square[:2])
        draw = ImageDraw.Draw(pale)
        left, top, right, bottom = square
        draw.rectangle(square, outline=GREEN, width=4)
        for x in (left, (left + right) // 2, right):
            for y in (top, (top + bottom) // 2, bottom):
                if (x, y) != ((left + right) // 2, (top + bottom) // 2):
                    draw.rectangle((x - 9, y - 9, x + 9, y + 9), fill=WHITE, outline=GREEN, width=4)
        return pale


@dataclass(frozen=True)
class Sound:
    """Loudness over time, of the video or of a file; `down` lets time run downwards."""

    file: Path | None = None
    colour: tuple[int, int, int] = GREEN
    down: bool = False

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        along, across = size[::-1] if self.down else size
        wave = np.abs(load_audio(self.file or seen.paths["video"])["waveform"][0].mean(0).numpy())
        bars = along // 5
        loud = wave[: len(wave) // bars * bars].reshape(bars, -1).max(axis=1)
        picture = Image.new("RGB", (along, across), DARK)
        draw = ImageDraw.Draw(picture)
        for index, height in enumerate(loud / loud.max()):
            half = 1 + 0.44 * across * height
            draw.rectangle((5 * index + 1, across / 2 - half, 5 * index + 3, across / 2 + half), fill=self.colour)
        return picture.transpose(Image.Transpose.ROTATE_270) if self.down else picture


@dataclass(frozen=True)
class Keyframes:
    """The yaw of a head over time, a dot at each key, which are `seconds: yaw, pitch, roll`; large at some moments."""

    keys: str
    large: tuple[float, ...] = ()

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        pose = HeadPose.from_text(self.keys)
        seconds, yaw = pose.seconds.numpy(), pose.degrees[:, 0].numpy()
        across = 20 + (size[0] - 40) * seconds / seconds[-1]
        down = size[1] * (0.5 - 0.36 * yaw / np.abs(yaw).max())
        picture = Image.new("RGB", size, DARK)
        draw = ImageDraw.Draw(picture)
        draw.line((0, size[1] / 2, size[0], size[1] / 2), fill=(80, 86, 92), width=2)
        draw.line(list(zip(across, down, strict=True)), fill=AMBER, width=5, joint="curve")
        for second, x, y in zip(seconds, across, down, strict=True):
            radius, fill = (11, WHITE) if second in self.large else (7, AMBER)
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill, outline=AMBER, width=3)
        return picture


@dataclass(frozen=True)
class Latents:
    """The first latents of the moment that is seen, as bars: to the right above zero, to the left below."""

    count: int = 40

    def draw(self, seen: Seen, size: tuple[int, int]) -> Image.Image:
        (index,) = seen.moments(1, View.WHOLE)
        frame = torch.from_numpy(seen.clip("footage").frames[index : index + 1])
        model = load_autoencoder(BUNDLED)
        values = next(encode(model, [fit_square(frame, model.config.image_size)]))[0, : self.count].numpy()
        picture = Image.new("RGB", size, DARK)
        draw = ImageDraw.Draw(picture)
        step, middle = size[1] / self.count, size[0] / 2
        for place, value in enumerate(values / np.abs(values).max()):
            reach = middle + 0.92 * middle * value
            sides, top = sorted((middle, reach)), step * place
            draw.rectangle((sides[0], top + 2, sides[1], top + step - 2), fill=GREEN if value > 0 else AMBER)
        return picture


def _cut(frame: Frames, box: Box, size: tuple[int, int]) -> Image.Image:
    # A box as wide as its picture may lie a rounding error outside.
    height, width = frame.shape[:2]
    left, top, right, bottom = box
    inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    return Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS, box=inside)


def _mark(tile: Image.Image, points: NDArray[np.float32]) -> None:
    draw = ImageDraw.Draw(tile)
    for line in LINES:
        corners = [*points[line], *(points[line][:1] if line in CLOSED else ())]
        draw.line([tuple(corner) for corner in corners], fill=GREEN, width=3, joint="curve")


def _perforate(picture: Image.Image, edge: int, down: bool) -> None:
    """Holes along both edges of a film."""
    draw = ImageDraw.Draw(picture)
    along, across = picture.size[::-1] if down else picture.size
    for start in range(4, along, 16):
        for side in (0, across - edge):
            box = (start, side + edge * 0.25, start + 8, side + edge * 0.75)
            draw.rectangle((box[1], box[0], box[3], box[2]) if down else box, fill=WHITE)
