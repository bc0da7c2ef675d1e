"""The picture track of a film: frames as H.264, with the colours that every player shows alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from torch import Tensor

from ..errors import InputError
from ..pixels import as_byte_array
from .rgb import planes_of

_BT709, _LIMITED = 1, 1  # H.273 code points, written into the stream so that every player shows the same colours
_MOST_THREADS = 4


class PictureTrack:
    """Encodes frames into a container (H.264 yuv420p) at a constant rate; `frames` counts them.

    Odd sizes grow to even ones by repeating the last row or column, as yuv420p needs. `pixel_aspect` is the width of a
    pixel by its height. `live`: every frame comes out of the encoder at once, and a film can be joined every two
    seconds, for a fifth more bytes.
    """

    def __init__(
        self,
        container: av.container.OutputContainer,
        width: int,
        height: int,
        fps: Fraction,
        crf: int = 18,
        pixel_aspect: Fraction = Fraction(1),
        live: bool = False,
    ) -> None:
        self.width, self.height, self.fps, self.frames = width, height, fps, 0
        self._container = container
        self._reformatter = VideoReformatter()
        options: Mapping[str, str] = {"preset": "veryfast", "crf": str(crf)}
        if live:
            options = {**options, "tune": "zerolatency", "g": str(max(1, round(2 * fps)))}
        self._stream = stream = container.add_stream("libx264", rate=fps, options=dict(options))
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.sample_aspect_ratio = pixel_aspect
        context.thread_count = 1 if live else min(_MOST_THREADS, os.cpu_count() or 1)
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED

    def write(self, frames: np.ndarray | Tensor) -> None:
        """Append frames [n, H, W, 3], RGB, uint8 or float 0..1. Raises InputError for another shape."""
        if frames.ndim != 4 or tuple(frames.shape[1:]) != (self.height, self.width, 3):
            raise InputError(f"frames of shape {list(frames.shape)}, expected [n, {self.height}, {self.width}, 3]")
        for picture in _even(as_byte_array(frames)):
            self._container.mux(self._stream.encode(self._frame(picture)))
            self.frames += 1

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))

    def _frame(self, picture: np.ndarray) -> av.VideoFrame:
        # OpenCV sets an environment variable when imported, which a host must not see.
        import cv2

        # The same bytes as of pixels side by side, for which libswscale takes half as long again.
        rgb = av.VideoFrame(picture.shape[1], picture.shape[0], "gbrp")
        red, green, blue = cv2.split(picture)
        for plane, channel in zip(planes_of(rgb), (green, blue, red), strict=True):
            plane[:] = channel
        frame = self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        frame.pts, frame.time_base = self.frames, 1 / self.fps
        return frame


def _even(frames: np.ndarray) -> np.ndarray:
    height, width = frames.shape[1:3]
    if height % 2 == 0 and width % 2 == 0:
        return frames
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
