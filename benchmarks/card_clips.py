"""What cards of workflows look at: a workflow's footage and video, the moments worth showing, and where to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from talkface_core.evaluation.probe import load_probe
from talkface_core.faces import landmarks as part
from talkface_core.faces.align import template
from talkface_core.faces.bundled import load_bundled
from talkface_core.faces.geometry import fit_similarity
from talkface_core.media.video_reader import VideoReader

Frames = NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of a frame."""

SOFT = 0.9
"""Sigma in pixels of the blur that soft footage has, as in the workflow that restores it."""


class View(Enum):
    """How near a frame is seen."""

    WHOLE = "whole"
    FACE = "face"
    MOUTH = "mouth"
    CROP = "crop"
    """The square that Crop Face cuts out, upright."""


@dataclass(frozen=True)
class Clip:
    """Frames [T,H,H,3] of one person, who has a square of the video's width, and that person's landmarks in pixels."""

    frames: Frames
    fps: float

    @cached_property
    def points(self) -> NDArray[np.float32]:
        return load_probe().read(self.frames).landmarks * self.frames.shape[1]

    def found(self, index: int) -> NDArray[np.float32]:
        """The landmarks of one frame [68,2] as Detect Faces finds them, whoever it shows."""
        return load_bundled().detect(self.frames[index : index + 1])[0][0].landmarks.numpy()

    def varied(self, count: int, view: View, within: int) -> list[int]:
        """Which `count` of the first `within` frames differ most from each other, in order (farthest-point sampling);
        lips alone count where lips are seen."""
        points = self.points[:within]
        if view is View.MOUTH:
            points = points[:, part.MOUTH] - points[:, part.MOUTH].mean(axis=1, keepdims=True)
        points = points.reshape(len(points), -1)
        chosen = [int(np.linalg.norm(points - np.median(points, axis=0), axis=1).argmin())]
        while len(chosen) < count:
            nearest = np.linalg.norm(points[:, None] - points[None, chosen], axis=2).min(axis=1)
            chosen.append(int(nearest.argmax()))
        return sorted(chosen)

    def box(self, index: int, view: View, aspect: float) -> Box:
        """The part of a frame (left, top, right, bottom) that a view of this aspect, width by height, shows."""
        side, face = self.frames.shape[1], self.points[index]
        if view is View.WHOLE:
            middle, width, height = face.mean(axis=0), side * min(aspect, 1), side / max(aspect, 1)
        elif view is View.CROP:
            known = torch.from_numpy(face[list(part.STABLE)]).double()
            matrix = fit_similarity(known[None], template())[0].numpy()
            middle = np.linalg.solve(matrix[:, :2], 0.5 - matrix[:, 2])
            width = height = 1 / np.linalg.norm(matrix[:, 0])
        else:
            near = face[part.MOUTH] if view is View.MOUTH else face
            middle = (near.min(axis=0) + near.max(axis=0)) / 2
            # Of all frames, so that a strip neither zooms nor hides how far a mouth opens.
            extent = np.ptp(self.points[:, part.MOUTH] if view is View.MOUTH else self.points, axis=1).max(axis=0)
            margin = 1.7 if view is View.MOUTH else 1.15
            width = max(extent[0] * margin, extent[1] * margin * aspect)
            height = width / aspect
        left = np.clip(middle[0] - width / 2, 0, max(side - width, 0))
        top = np.clip(middle[1] - height / 2, 0, max(side - height, 0))
        return float(left), float(top), float(left + width), float(top + height)


class Seen:
    """What a card may show: "video", which the workflow made, "footage", which it was given, and that made "soft"."""

    def __init__(self, video: Path, footage: Path) -> None:
        self.paths = {"video": video, "footage": footage, "soft": footage}
        self._clips: dict[tuple[str, int], Clip] = {}

    def clip(self, source: str, person: int = 0) -> Clip:
        """One person's square of a video, counted from the left."""
        if (source, person) not in self._clips:
            reader = VideoReader(self.paths[source])
            frames = np.concatenate(list(reader.chunks(64)))
            side = frames.shape[1]
            frames = np.ascontiguousarray(frames[:, :, person * side : (person + 1) * side])
            if source == "soft":
                blur = ImageFilter.GaussianBlur(SOFT)
                frames = np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in frames])
            self._clips[source, person] = Clip(frames, float(reader.fps))
        return self._clips[source, person]

    def moments(self, count: int, view: View, person: int = 0, seconds: Sequence[float] = ()) -> list[int]:
        """Frames of the video that show it best, or those at `seconds`; each is in the footage as well."""
        clip = self.clip("video", person)
        if seconds:
            return [min(int(second * clip.fps), len(clip.frames) - 1) for second in seconds]
        # A video as long as its footage lies above it frame by frame; a longer one shows the footage again.
        return clip.varied(count, view, min(len(clip.frames), len(self.clip("footage").frames)))
