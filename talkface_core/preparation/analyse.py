"""Analyses a video in a first pass: scenes, the face's track, the level of the sound. Only small numbers are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..faces.choose import FaceChoice
from ..faces.face import Detector
from ..faces.solve_pose import head_pose
from ..faces.track import FaceTrack, smooth
from ..faces.tracking import SMOOTHING, track_faces
from ..media.source import AudioSource
from ..media.timebase import FPS
from ..media.video_reader import VideoReader
from .rules import Measured
from .scenes import Signatures, find_scenes, join_signatures, signature
from .sound import loudness, mono_blocks


@dataclass(frozen=True)
class Analysis:
    """What the first pass found: the face's track, smoothed within each scene (None: no face anywhere), and numbers
    of each of the T frames at 25 per second."""

    track: FaceTrack | None
    measured: Measured


def analyse(
    reader: VideoReader,
    sound: AudioSource | None,
    detector: Detector,
    choice: FaceChoice | None = None,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Go through a film once. `progress` is called with the number of frames just done."""
    tap = _FrameTap(reader, progress)
    try:
        track = track_faces(tap.chunks(), FPS, detector, choice, smoothing=0)
    except InputError:
        if not tap.ended:  # an error of the film itself, not a missing face
            raise
        track = None
    signatures = tap.signatures()
    total = len(signatures)
    scene = np.full(total, -1)
    for n, part in enumerate(scenes := find_scenes(signatures)):
        scene[part.start : part.stop] = n
    level = np.full(total, -np.inf, np.float32) if sound is None else loudness(mono_blocks(sound), total, FPS)
    if track is None:
        nothing = np.zeros(total)
        return Analysis(None, Measured(scene, nothing > 0, nothing, np.zeros((total, 2)), nothing, level))
    # The tracker meets each frame once and may take a flash for a cut; these scenes are known from both sides.
    track = smooth(replace(track, cuts=tuple(part.start for part in scenes if part.start)), SMOOTHING)
    return Analysis(track, Measured(scene, *_geometry(track), level))


def _geometry(track: FaceTrack) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32], NDArray]:
    """visible, height, centre and yaw of `Measured`."""
    points = track.landmarks.numpy()
    low, high = points.min(1), points.max(1)
    yaw = head_pose(track).degrees[:, 0].numpy()
    return track.valid.numpy(), (high - low)[:, 1], (high + low) / 2, yaw


class _FrameTap:
    """Passes frames on in chunks and keeps their signatures."""

    def __init__(self, reader: VideoReader, progress: Callable[[int], None] | None) -> None:
        self._reader, self._progress = reader, progress
        self._signatures: list[tuple[NDArray[np.uint8], NDArray[np.float16]]] = []
        self.ended = False

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        for chunk in self._reader.steady(FPS):
            self._signatures += [signature(frame) for frame in chunk]
            yield chunk
            if self._progress:
                self._progress(len(chunk))
        self.ended = True

    def signatures(self) -> Signatures:
        return join_signatures(self._signatures)
