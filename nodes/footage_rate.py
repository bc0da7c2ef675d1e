"""The frame rate of images that a node is given: of their video, as said, or as nobody has said, which is told."""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Any

from comfy_api.latest import io

from ..talkface_core.media.timebase import as_rate
from .video import frame_rate

log = logging.getLogger(__name__)

FPS = 25.0
HIDDEN = (io.Hidden.prompt, io.Hidden.unique_id)
"""What a node asks the host for besides its inputs, so that `footage_rate` sees whether fps is connected."""


def fps_input(where: str) -> io.Input:
    """The rate as a number; `where` says where it goes."""
    return io.Float.Input(
        "fps",
        default=FPS,
        min=1.0,
        max=120.0,
        step=0.01,
        tooltip=f"Frames per second of these images, as Get Video Components says. {where} Not used with a video.",
    )


def video_input() -> io.Input:
    """The rate as a video's."""
    return io.Video.Input(
        "video",
        optional=True,
        tooltip="The video that the images come from: its frame rate is taken, in place of fps. Only that is read of "
        "it.",
    )


def footage_rate(node: type[io.ComfyNode], frames: int, fps: float, video: Any) -> Fraction:
    """Frames per second of so many frames; where neither a video nor a number was given, a warning says so."""
    if video is not None:
        return frame_rate(video)
    if frames > 1 and fps == FPS and not _is_linked(node, "fps"):
        log.warning(
            "fps is %g, as nothing else was said: if the footage has another rate, connect its video, or fps of Get "
            "Video Components",
            fps,
        )
    return as_rate(fps)


def _is_linked(node: type[io.ComfyNode], name: str) -> bool:
    """Whether another node gives an input, by what was queued; outside of a queue whoever calls gives it."""
    if node.hidden is None:
        return True
    asked = (node.hidden.prompt or {}).get(str(node.hidden.unique_id), {})
    return isinstance(asked.get("inputs", {}).get(name), list)
