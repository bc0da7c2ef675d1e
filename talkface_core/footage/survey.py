"""The first pass over a film: scenes, the face and where it is, the level of the sound. Only small numbers are kept."""

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
class Survey:
    """What the first pass found: the face's track, smoothed within each scene (None: no face anywhere), and numbers
    of each of the T frames at 25 per second."""

    track: FaceTrack | None
    measured: Measured


def survey(
    reader: VideoReader,
    sound: AudioSource | None,
    detector: Detector,
    choice: FaceChoice | None = None,
    progress: Callable[[int], None] | None = None,
) -> Survey:
    """Go through a film once. `progress` is called with the number of frames just done."""
    looker = _Looker(reader, progress)
    try:
        track = track_faces(looker.chunks(), FPS, detector, choice, smoothing=0)
    except InputError:
        if not looker.ended:  # the film is at fault, not the lack of a face in it
            raise
        track = None
    signatures = looker.signatures()
    total = len(signatures)
    scene = np.full(total, -1)
    for n, part in enumerate(found := find_scenes(signatures)):
        scene[part.start : part.stop] = n
    level = np.full(total, -np.inf, np.float32) if sound is None else loudness(mono_blocks(sound), total, FPS)
    if track is None:
        nothing = np.zeros(total)
        return Survey(None, Measured(scene, nothing > 0, nothing, np.zeros((total, 2)), nothing, level))
    # The tracker meets each frame once and may take a flash for a cut; these scenes are known from both sides.
    track = smooth(replace(track, cuts=tuple(part.start for part in found if part.start)), SMOOTHING)
    return Survey(track, Measured(scene, *_geometry(track), level))


def _geometry(track: FaceTrack) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32], NDArray]:
    """seen, height, centre and yaw of `Measured`."""
    points = track.landmarks.numpy()
    low, high = points.min(1), points.max(1)
    yaw = head_pose(track).degrees[:, 0].numpy()
    return track.valid.numpy(), (high - low)[:, 1], (high + low) / 2, yaw


class _Looker:
    """Passes frames on in chunks and keeps their signatures."""

    def __init__(self, reader: VideoReader, progress: Callable[[int], None] | None) -> None:
        self._reader, self._progress = reader, progress
        self._made: list[tuple[NDArray[np.uint8], NDArray[np.float16]]] = []
        self.ended = False

    def chunks(self) -> Iterator[NDArray[np.uint8]]:
        for chunk in self._reader.steady(FPS):
            self._made += [signature(frame) for frame in chunk]
            yield chunk
            if self._progress:
                self._progress(len(chunk))
        self.ended = True

    def signatures(self) -> Signatures:
        return join_signatures(self._made)
