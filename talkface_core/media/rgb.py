"""Decoded frames as upright RGB pictures of one size, with the colours that an ordinary screen shows."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from .hdr import BT2020, HLG, PQ, ToSDR

# H.273 code points of what is met in practice.
_COLOURS = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.ITU709}
_FULL_RANGE = 2
# libswscale's BILINEAR | ACCURATE_RND | FULL_CHR_H_INT: its default is a level too dark.
_UNBIASED = 0x2 | 0x40000 | 0x2000
# Into separate planes libswscale has vectors for these, into pixels side by side it has none: the same bytes in half
# the time, but for the last row of an odd height.
_QUICK = frozenset(("yuv420p", "yuvj420p", "nv12", "yuv422p", "yuv444p", "yuv420p10le"))
_NARROWEST = Fraction(1, 8)  # what says more is a broken header
_LAID_ON = 255  # white: what is transparent lets it through

Warn = Callable[[str], None]
Orientation = tuple[bool, bool, bool]
"""Whether rows and columns are exchanged, then what is up is down, then what is left is right."""
UPRIGHT: Orientation = (False, False, False)


class RGBConverter:
    """Frames as RGB uint8 [H, W, 3]: upright and mirrored as the file notes, SDR, laid on white where transparent.

    `width` and `height` are in pixels, before turning; frames of another size are scaled to it. `turned` is the film's
    `orientation`. `warn` is told what of the film cannot be kept.
    """

    def __init__(self, width: int, height: int, turned: Orientation = UPRIGHT, warn: Warn = lambda _: None) -> None:
        self._size, self._turned, self._warn = {"width": width, "height": height}, turned, warn
        self._reformatter = VideoReformatter()
        self._to_sdr: ToSDR | None = None

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        return oriented(self._picture(frame), self._turned)

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        transfer, primaries = int(getattr(frame, "color_trc", 2)), int(getattr(frame, "color_primaries", 2))
        if transfer in (PQ, HLG) or BT2020 in (primaries, frame.colorspace):
            return self._sdr(frame, transfer)
        if any(component.is_alpha for component in frame.format.components):
            return self._laid_on_white(frame)
        if frame.format.name in _QUICK and frame.height % 2 == 0 and self._size == _size(frame):
            return _side_by_side(self._reformat(frame, "gbrp"))
        return self._reformat(frame, "rgb24").to_ndarray()

    def _reformat(self, frame: av.VideoFrame, format: str) -> av.VideoFrame:
        untagged = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        source = _COLOURS.get(frame.colorspace, untagged)
        # RGB has no such matrix; a different one only makes PyAV 14 pass on the other settings.
        target = Colorspace.ITU601 if source == Colorspace.ITU709 else Colorspace.ITU709
        return self._reformatter.reformat(
            frame,
            format=format,
            src_colorspace=BT2020 if frame.colorspace == BT2020 else source,
            dst_colorspace=target,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_UNBIASED,
            **self._size,
        )

    def _sdr(self, frame: av.VideoFrame, transfer: int) -> np.ndarray:
        if transfer in (PQ, HLG):
            self._warn("is HDR; its colours are brought to those of an ordinary screen (SDR, BT.709)")
        if self._to_sdr is None or self._to_sdr.transfer != transfer:
            self._to_sdr = ToSDR(transfer)
        planes: Any = self._reformat(frame, "gbrp16le").to_ndarray()
        return self._to_sdr(planes)

    def _laid_on_white(self, frame: av.VideoFrame) -> np.ndarray:
        rgba = self._reformat(frame, "rgba").to_ndarray()
        alpha = rgba[..., 3:]
        if alpha.min() == _LAID_ON:
            return rgba[..., :3]
        self._warn("has transparent parts; they are laid on white")
        return (_LAID_ON - ((_LAID_ON - rgba[..., :3].astype(np.uint16)) * alpha + 127) // 255).astype(np.uint8)


def _size(frame: av.VideoFrame) -> dict[str, int]:
    return {"width": frame.width, "height": frame.height}


def _side_by_side(frame: av.VideoFrame) -> np.ndarray:
    """A frame of planes G, B and R as RGB [H, W, 3]; PyAV's own way takes several times as long."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    green, blue, red = planes_of(frame)
    return cv2.merge([red, green, blue])


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    """The planes of a frame of bytes as they lie in its memory, uint8 [H, W] each, to be read or written."""
    planes: Any = frame.planes  # PyAV's stubs do not say that they are buffers
    return [np.frombuffer(p, np.uint8).reshape(p.height, p.line_size)[:, : p.width] for p in planes]


def orientation(frame: av.VideoFrame) -> Orientation:
    """How a player shows a frame, by its display matrix; to be asked once for a film.

    Turns that are no multiples of a right angle are rounded to one.
    """
    # In PyAV a frame that was asked for its side data is in a cycle with them: it, and the pool of pictures that it is
    # from, stay in memory until Python's collector comes by, which is seldom. Asked of each frame, that filled memory.
    data = frame.side_data.get(SideData.DISPLAYMATRIX)
    if data is None:
        return UPRIGHT
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(data), "<i4").reshape(3, 3).tolist()
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def oriented(picture: np.ndarray, orientation: Orientation) -> np.ndarray:
    """A frame's picture [H, W, 3] as a player shows it."""
    exchanged, upside_down, mirrored = orientation
    picture = picture.transpose(1, 0, 2) if exchanged else picture
    return picture[:: -1 if upside_down else 1, :: -1 if mirrored else 1]


def pixel_aspect(stream: av.video.stream.VideoStream, turned: Orientation) -> Fraction:
    """Width of a pixel by its height, as the film is shown: 1 for square pixels and where nothing is said."""
    aspect = _stated_aspect(stream)
    return 1 / aspect if turned[0] else aspect


def squared(stream: av.video.stream.VideoStream, frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height, before turning, of a frame whose pixels are made square by growing one side."""
    aspect = _stated_aspect(stream)
    return (round(frame.width * aspect), frame.height) if aspect > 1 else (frame.width, round(frame.height / aspect))


def _stated_aspect(stream: av.video.stream.VideoStream) -> Fraction:
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return Fraction(aspect) if aspect and _NARROWEST <= aspect <= 1 / _NARROWEST else Fraction(1)
