"""What all nodes share that repaint mouths, whichever system's: frames in memory, and the host's networks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.dubbing.model import DubContext, MouthModel, MouthPainter, default_window
from ..talkface_core.dubbing.pipeline import Dubbing, DubRequest
from ..talkface_core.faces.align import Framing, check_shape
from ..talkface_core.faces.even import even_size, grow_even, on_frames, size_of
from ..talkface_core.faces.track import FaceTrack
from ..talkface_core.media.playback import RULES, TensorFrameSource
from ..talkface_core.media.source import AudioSource
from . import host
from .sockets import is_a

log = logging.getLogger(__name__)

STREAM = "use the node Dub Video, which writes frames to disk as they come, or a shorter sound"


def length_input(more: str = "", after: str = "silent lips after the sound") -> io.Input:
    """What happens where sound and footage are not of one length."""
    return io.Combo.Input(
        "length",
        options=list(RULES),
        default=RULES[0],
        tooltip="Where sound and footage differ in length. bounce: as long as the sound, the footage played to "
        f"and fro; stop: until either ends; once: the whole footage, {after}. {more}".rstrip(),
    )


@dataclass(frozen=True)
class ManagedMouths(MouthModel):
    """Mouths for dubbing whose networks, `components`, the host loads when they are to paint: before, the detector has
    the memory. activations: bytes that so many frames at once need; window: how many those are, None: what suits."""

    mouths: MouthModel
    components: tuple[host.Component, ...]
    activations: Callable[[int], float]
    window: int | None = None

    @property
    def crop_size(self) -> int:
        return self.mouths.crop_size

    @property
    def framing(self) -> Framing:
        return self.mouths.framing

    def begin(self, context: DubContext) -> MouthPainter:
        """Load the networks, and begin."""
        window = self.window or default_window(host.device(), context.film)
        host.load_all(self.components, self.activations(window))
        return self.mouths.begin(context)

    def rank(self, landmarks: Tensor, frames: Tensor) -> Tensor:
        """As the mouths have it."""
        return self.mouths.rank(landmarks, frames)


@dataclass(frozen=True)
class Repainted:
    """Whole frames, where they are paint [N,H,W], and the face in them. Odd sides have grown by one."""

    images: Tensor
    mask: Tensor
    track: FaceTrack


def end_if_cancelled(*_: Any) -> None:
    """For each step of sampling."""
    host.check_interrupt()


def footage(images: Tensor, face_track: FaceTrack, socket: str = "face_track") -> tuple[Tensor, FaceTrack]:
    """Frames without alpha, and a track of these very frames. Raises InputError where they are not."""
    frames = images[..., :3]
    track = on_frames(is_a(FaceTrack, face_track, socket), size_of(frames))
    check_shape(frames, track.size, len(track))
    return frames, track


def repaint(
    mouths: ManagedMouths,
    frames: Tensor,
    track: FaceTrack,
    source: AudioSource,
    length: str,
    progress: host.Progress | None = None,
) -> Repainted:
    """Frames in memory [T,H,W,3] with new mouths, shown on the node as they come. Raises InputError for too many."""
    film = TensorFrameSource(frames, track.fps, exact=True)
    dubbing = Dubbing(mouths, DubRequest(film, source, track, length=length, window=mouths.window))
    order = dubbing.order.tolist()
    (height, width), size = track.size, even_size(track.size)
    host.check_room(len(order), *size, STREAM, channels=4)
    progress = progress or host.Progress(len(order))
    progress.total = len(order)
    if size != track.size:
        log.warning(
            "frames of %dx%d px grow to %dx%d by their last row and column: Save Video encodes no odd sides",
            *(width, height, size[1], size[0]),
        )
    mask = host.room(len(order), *size)
    output = host.gather(progress.follow(_even_frames(dubbing, mask)), len(order))
    return Repainted(output, mask, on_frames(track, size).at(order))


def _even_frames(dubbing: Dubbing, mask: Tensor) -> Iterator[Tensor]:
    """Chunks of the dubbed frames [n,H,W,3], sides even; fills `mask` [T,H,W] with where they are paint."""
    done = 0
    with closing(dubbing.frames_and_paint()) as chunks:
        for frames, paint in chunks:
            mask[done : done + len(frames)] = grow_even(torch.from_numpy(paint)[..., None])[..., 0]
            done += len(frames)
            yield grow_even(torch.from_numpy(frames))
