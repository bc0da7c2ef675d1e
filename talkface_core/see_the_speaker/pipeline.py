"""From one speech file to a talking person, as a stream: a portrait of the voice, its motion, its pictures.

Source: See the Speaker (Wang et al., arXiv 2510.26819), both stages; the second alone animates any picture. Everything
works in windows: an hour of sound needs no more memory than ten seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.align import FaceCrop
from ..faces.choose import FaceChoice
from ..faces.face import Detector
from ..faces.paste import paste_into
from ..faces.tracking import track_faces
from ..media.audio import AudioSource
from ..media.timebase import FPS, Rate, as_rate, frame_count
from ..media.video_writer import VideoWriter
from ..memory import AdaptiveBatch
from ..pixels import to_bytes
from ..speech.features import FrontEnd
from ..stage_timer import StageTimer
from .motion import Motion
from .motion_diffusion import MotionSampling
from .motion_stream import MotionModel, stream_motion
from .motion_track import MotionTrack
from .rendering import Portrait, PortraitRenderer
from .spoken_motion import at_rest
from .style import MotionStyle, placed

log = logging.getLogger(__name__)

SLOWEST, FASTEST = 1, 120  # frames per second
WINDOW = 8
"""Frames that are drawn at once on a CPU: enough to keep it busy, few enough to be stopped soon."""

MOTION, DRAWING, PASTING, WRITING = "motion", "drawing", "pasting", "writing"
"""The stages that a timer tells apart."""

EDGE = 0.07
"""Width of the soft edge with which a head's crop is laid into its picture, by the crop's side."""


@dataclass(frozen=True)
class Animation:
    """How a portrait is animated. style, sampling (None: the model's) and seed of the motion; fidelity of the codebook
    (None: its own); whole: the head is laid back into its picture, else the head's square crop is the video."""

    style: MotionStyle = field(default_factory=MotionStyle)
    sampling: MotionSampling | None = None
    seed: int = 0
    fidelity: float | None = None
    whole: bool = True


def output_rate(fps: Rate | None = None) -> Fraction:
    """The rate of the video: 25 for None. Raises InputError outside 1..120 frames per second."""
    rate = as_rate(FPS if fps is None else fps)
    if not SLOWEST <= rate <= FASTEST:
        raise InputError(f"{float(rate):g} frames per second: choose {SLOWEST} to {FASTEST}, such as 25")
    return rate


def find_face(picture: Tensor, detector: Detector, choice: FaceChoice | None = None) -> Tensor:
    """Landmarks [68,2], in pixels, of the face in a picture [H,W,3], uint8 or 0..1. Raises InputError for none."""
    track = track_faces(iter([picture[None]]), FPS, detector, choice, smoothing=0.0)
    return track.landmarks[0]


def speech_motion(
    model: MotionModel,
    source: AudioSource,
    fps: Rate | None = None,
    animation: Animation | None = None,
    encoded: FrontEnd | None = None,
    window: int = WINDOW,
) -> Iterator[Motion]:
    """The motion of all ceil(seconds * fps) frames of a sound, `window` at a time. Raises InputError."""
    how, rate = animation or Animation(), output_rate(fps)
    frames = frame_count(source.num_samples(), source.sample_rate, rate)
    made = stream_motion(model, source, how.seed, encoded, how.style, how.sampling)
    track = MotionTrack(made, rate)
    for first in range(0, frames, window):
        yield track.at(first, min(first + window, frames))


def rest(model: MotionModel, portrait: Portrait) -> Motion:
    """The motion of a portrait's face at rest: as it is in the picture, but with its mouth shut."""
    return at_rest(portrait, model.diffusion.controls)


def draw(
    renderer: PortraitRenderer,
    portrait: Portrait,
    motions: Iterator[Motion],
    picture: Tensor | None = None,
    fidelity: float | None = None,
    timer: StageTimer | None = None,
) -> Iterator[Tensor]:
    """Frames uint8 [n,H,W,3] on the CPU of a portrait in motion, chunk by chunk.

    picture [H,W,3]: what its head is laid into; None: the head's crop alone is drawn.
    """
    timer = timer or StageTimer()
    still = None if picture is None else to_bytes(picture).cpu()
    mask = head_mask(portrait.crop)

    def drawn(motion: Motion) -> Tensor:
        return to_bytes(renderer.draw(portrait.identity, motion, fidelity).permute(0, 2, 3, 1)).cpu()

    drawing = AdaptiveBatch(drawn)
    for motion in motions:
        with timer.part(DRAWING):
            faces = drawing(motion)
        if still is None:
            yield faces
            continue
        with timer.part(PASTING):
            frames = still.expand(len(faces), *still.shape).clone()
            paste_into(list(frames), faces, _repeated(portrait.crop, len(faces)), mask, match_colour=False)
        yield frames


def animate(
    model: MotionModel,
    renderer: PortraitRenderer,
    picture: Tensor,
    landmarks: Tensor,
    source: AudioSource,
    fps: Rate | None = None,
    animation: Animation | None = None,
    encoded: FrontEnd | None = None,
    window: int = WINDOW,
    timer: StageTimer | None = None,
) -> Iterator[Tensor]:
    """A picture [H,W,3] (uint8 or 0..1) whose face, at `landmarks` [68,2], says a sound: frames uint8 [n,H,W,3] on the
    CPU, exactly ceil(seconds * fps) in all, of the picture's size or the renderer's.

    Raises InputError, at the latest with the first chunk.
    """
    timer, how = timer or StageTimer(), animation or Animation()
    portrait = renderer.portrait(picture, landmarks)
    moved = timer.stream(
        MOTION, on_portrait(model, portrait, speech_motion(model, source, fps, how, encoded, window), how)
    )
    return draw(renderer, portrait, moved, picture if how.whole else None, how.fidelity, timer)


def on_portrait(
    model: MotionModel, portrait: Portrait, motions: Iterator[Motion], animation: Animation
) -> Iterator[Motion]:
    """A voice's motion as the motion of one portrait's keypoints."""
    own, relative = rest(model, portrait), model.diffusion.config.relative
    first: Motion | None = None
    for motion in motions:
        # The first frame goes along: it is what a motion that is not about a rest is measured from.
        first = motion[:1] if first is None else first
        along = motion if relative else Motion.join([first, motion])
        yield placed(along, own, relative, turned=animation.style.pose is not None)[len(along) - len(motion) :]


def head_mask(crop: FaceCrop) -> Tensor:
    """Where a head's crop goes in its picture, float32 [S,S] in 0..1: all of it, with a soft edge."""
    places = (torch.arange(crop.size) + 0.5) / crop.size
    rise = (torch.minimum(places, 1 - places) / EDGE).clamp(0, 1)
    rise = rise * rise * (3 - 2 * rise)
    return torch.minimum(rise[:, None], rise[None])


@dataclass(frozen=True)
class Animated:
    """A video that was written: its frames, rate and size, seconds of sound, seconds of work by part."""

    output: Path
    frames: int
    fps: Fraction
    size: tuple[int, int]
    seconds_audio: float
    seconds: dict[str, float]


def animate_to_file(
    model: MotionModel,
    renderer: PortraitRenderer,
    picture: Tensor | NDArray[np.uint8],
    landmarks: Tensor,
    source: AudioSource,
    path: str | Path,
    fps: Rate | None = None,
    animation: Animation | None = None,
    progress: Callable[[int], None] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Animated:
    """Write the talking picture with its sound as a video, whole or not at all; arguments as in `animate`.

    `progress(frames)` is called with the number of frames of each chunk; `metadata` is the file's, besides the mark of
    synthetic media.
    """
    timer, rate, how = StageTimer(), output_rate(fps), animation or Animation()
    shown = torch.as_tensor(picture)
    height, width = shown.shape[:2] if how.whole else (renderer.size, renderer.size)
    frames = animate(model, renderer, shown, landmarks, source, rate, how, timer=timer)
    with VideoWriter(path, width, height, rate, source, metadata=metadata) as writer:
        for chunk in frames:
            with timer.part(WRITING):
                writer.write(chunk)
            if progress is not None:
                progress(len(chunk))
    seconds = source.num_samples() / source.sample_rate
    return Animated(writer.path, writer.frames, rate, (height, width), seconds, timer.read())


def _repeated(crop: FaceCrop, count: int) -> FaceCrop:
    return crop.at([0] * count)
