"""The dubbing pipeline, as a stream: track, order, align, paint, paste, write.

Whose mouths are painted is a `MouthModel`'s affair (model.py); all else is the same for every system. The film is gone
through twice: to follow the face, of which landmarks and as many faces as fit into a fixed room are kept, and to make
frames as they are read. In between it is read once more only for faces that a model asks for and that did not fit. So
an hour needs little more memory than a minute.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.align import align
from ..faces.choose import FaceChoice
from ..faces.face import Detector
from ..faces.solve_pose import warn_of_yaw
from ..faces.track import FaceTrack, in_sight
from ..faces.tracking import SMOOTHING, track_faces
from ..media.playback import FrameSource, frame_order, iterate_frames
from ..media.source import AudioSource, FirstSeconds
from ..media.timebase import frame_count
from ..media.video_writer import VideoWriter, check_output
from ..memory import AdaptiveBatch
from ..stage_timer import StageTimer
from .chunks import Chunk, gathered, in_ordinary_light, paint_chunks
from .face_cache import FaceCache
from .model import AT_ONCE, FACES, LIPS, PASTING, READING, WRITING, DubContext, MouthModel, default_window

TRACKING, PAINTING = "tracking", "painting"
"""The two passes that progress is told of."""


class DubProgress(Protocol):
    """Is told of each chunk: the pass, how many of its frames are done, of how many (None: not known yet; the most that
    it can be), and the newest frame [H,W,3]. What it raises ends the work."""

    def __call__(self, step: str, done: int, total: int | None, frame: NDArray[np.generic], /) -> None: ...


@dataclass(frozen=True)
class DubRequest:
    """What is to be dubbed, and how.

    film: the footage. source: the new sound. track: where its face is; None: the `detector` looks for it, `choice`
    says which of several is meant, `smoothing` takes the jitter out of the track. length: a rule of `frame_order`.
    window: frames that are made at once, which are the same whatever it is; None: what suits the model and its device.

    Raises InputError for an unknown rule, a window of no frames, and where there is neither track nor detector.
    """

    film: FrameSource
    source: AudioSource
    track: FaceTrack | None = None
    detector: Detector | None = None
    choice: FaceChoice | None = None
    smoothing: float = SMOOTHING
    length: str = "bounce"
    window: int | None = None

    def __post_init__(self) -> None:
        frame_order(1, 0, self.length)
        if self.window is not None and self.window < 1:
            raise InputError(f"window of {self.window} frames: make at least one frame at a time")

    @property
    def sounding(self) -> int:
        """Frames for which the sound lasts."""
        return frame_count(self.source.num_samples(), self.source.sample_rate, self.film.fps)

    @property
    def needed(self) -> int | None:
        """How many of the film's frames are played at most (None: all): a short sound leaves the rest alone."""
        return None if self.length == "once" else self.sounding


class Dubbing:
    """One film that is being dubbed: the face is found when it is made, frames come from `frames`.

    track: the face [T]. order [N]: which frame of the film each frame of the result shows. settings: what the model
    settled on for this film, once frames were asked for. Raises InputError where no face is found.
    """

    def __init__(
        self,
        model: MouthModel,
        request: DubRequest,
        progress: DubProgress | None = None,
        timer: StageTimer | None = None,
    ) -> None:
        self.model, self.request, self.timer = model, request, timer or StageTimer()
        cache = FaceCache(model.rank)
        self.track = request.track or _find(request, cache, progress, self.timer)
        self.order = frame_order(len(self.track), request.sounding, request.length)
        self._context = DubContext(
            film=request.film,
            track=self.track,
            crop=align(self.track, model.crop_size, model.framing),
            visible=in_sight(self.track).numpy(),
            order=self.order,
            source=request.source,
            timer=self.timer,
            cache=cache,
        )
        self.settings: Mapping[str, Any] = {}

    @property
    def left_alone(self) -> int:
        """Frames of the result that do not show the face and stay as they are."""
        return int((~self._context.visible[self.order]).sum())

    def frames(self) -> Generator[NDArray[np.generic], None, None]:
        """Frames [n,H,W,3] of the film's dtype, chunk by chunk, whose tracked face says the sound.

        Frames that do not show the face, and every pixel away from the mouth, are the film's. What a film shows after
        the sound has ended says nothing.
        """
        with closing(self._made()) as made:
            for chunk, painted in made:
                with self.timer.part(PASTING):
                    pasted = chunk.pasted(painted)
                yield pasted

    def frames_and_paint(self) -> Generator[tuple[NDArray[np.generic], NDArray[np.float32]], None, None]:
        """The same frames, each chunk with how far its pixels are paint: [n,H,W] in 0..1.

        0 is the footage's pixel, at its place or moved there. A model that does not tell has painted the whole mouth.
        """
        with closing(self._made()) as made:
            for chunk, painted in made:
                with self.timer.part(PASTING):
                    pasted, paint = chunk.pasted(painted), chunk.paint(painted)
                yield pasted, paint

    def _made(self) -> Generator[tuple[Chunk, Tensor | None], None, None]:
        """Chunks of frames as they are, with what their faces become, see `paint_chunks`."""
        request, timer = self.request, self.timer
        with timer.part(LIPS):
            painter = self.model.begin(self._context)
        self.settings = painter.settings
        paint = AdaptiveBatch(in_ordinary_light(painter, self.model.framing))
        window = request.window or painter.window or default_window(painter.device, request.film)
        film, done = iterate_frames(request.film, len(self.track), request.sounding, request.length, window), 0
        for group in gathered(timer.stream(READING, film), window):
            chunks = []
            for frames in group:
                chunks.append(self._chunk(done, frames))
                done += len(frames)
            with timer.part(LIPS):
                painted = paint_chunks(paint, chunks, painter.device)
            yield from zip(chunks, painted, strict=True)

    def _chunk(self, first: int, frames: NDArray[np.generic]) -> Chunk:
        now = self.order[first : first + len(frames)]
        rows = np.flatnonzero(self._context.visible[now])
        return Chunk(frames, rows, first + rows, self._context.crop.at(now[rows].tolist()))


def dub(model: MouthModel, request: DubRequest, progress: DubProgress | None = None) -> Iterator[NDArray[np.generic]]:
    """The frames of `Dubbing.frames`."""
    return Dubbing(model, request, progress).frames()


@dataclass(frozen=True)
class DubResult:
    """A film that was written.

    output, frames, fps: the file. tracked: frames of the footage that were looked at. left_alone: frames that stay as
    they were for want of a face. settings: what the painter settled on. seconds_audio: of its sound. seconds: of work,
    by stage; what a GPU does counts where it is waited for.
    """

    output: Path
    frames: int
    fps: Fraction
    tracked: int
    left_alone: int
    settings: Mapping[str, Any]
    seconds_audio: float
    seconds: dict[str, float]


def dub_to_file(
    model: MouthModel, request: DubRequest, path: str | Path, progress: DubProgress | None = None
) -> DubResult:
    """Write the dubbed film with its new sound, whole or not at all.

    Under the rules "stop" and "once" sound that goes on when the film has ended is cut off there.
    """
    check_output(path)
    film, source, timer = request.film, request.source, StageTimer()
    dubbing = Dubbing(model, request, progress, timer)
    if request.length != "bounce":
        source = FirstSeconds(source, len(dubbing.order) / film.fps)
    writing = VideoWriter(path, film.width, film.height, film.fps, source, pixel_aspect=film.pixel_aspect)
    with writing as writer, closing(dubbing.frames()) as chunks:
        for chunk in chunks:
            with timer.part(WRITING):
                writer.write(chunk)
            if progress is not None:
                progress(PAINTING, writer.frames, len(dubbing.order), chunk[-1])
    seconds = {stage: spent for stage, spent in timer.read().items() if spent}
    return DubResult(
        output=writer.path,
        frames=writer.frames,
        fps=film.fps,
        tracked=len(dubbing.track),
        left_alone=dubbing.left_alone,
        settings=dubbing.settings,
        seconds_audio=source.num_samples() / source.sample_rate,
        seconds=seconds,
    )


def _find(request: DubRequest, cache: FaceCache, progress: DubProgress | None, timer: StageTimer) -> FaceTrack:
    """The face that is to speak; warns of a head that turns too far."""
    detector, most = request.detector, request.needed
    if detector is None:
        raise InputError("where the face is, is not known: give its track, or a detector that finds it.")

    def observe(first: int, frames: NDArray[np.generic], landmarks: Tensor, valid: Tensor) -> None:
        cache.add(first, frames, landmarks, valid)
        if progress is not None:
            progress(TRACKING, first + len(frames), most, frames[-1])

    # A detector that cannot follow a face takes long for each frame: progress is told more often then.
    window = AT_ONCE["cpu"] if detector.follows else 1
    with timer.part(FACES):
        chunks = timer.stream(READING, _first(request.film.forwards(window), most))
        track = track_faces(chunks, request.film.fps, detector, request.choice, request.smoothing, observe=observe)
        warn_of_yaw(track)
    return track


def _first(chunks: Iterator[NDArray[np.generic]], most: int | None) -> Iterator[NDArray[np.generic]]:
    left = most
    for chunk in chunks:
        yield chunk[:left]
        if left is not None:
            left -= len(chunk)
            if left <= 0:
                return
