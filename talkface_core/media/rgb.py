"""Decoded frames as upright RGB pictures of one size, with the colours that players show."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

# H.273 code points of what is met in practice.
_COLOURS = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 9: Colorspace.ITU709}
_FULL_RANGE = 2
# libswscale's BILINEAR | ACCURATE_RND | FULL_CHR_H_INT: its default is a level too dark.
_UNBIASED = 0x2 | 0x40000 | 0x2000


class RGBConverter:
    """Frames as RGB uint8 [H, W, 3], upright: telephones film sideways and note it in the file.

    `width` and `height` are in pixels, before turning; frames of another size are scaled to it.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = {"width": width, "height": height}
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        untagged = Colorspace.ITU709 if frame.height >= 720 else Colorspace.ITU601
        full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        source = _COLOURS.get(frame.colorspace, untagged)
        # RGB has no such matrix; a different one only makes PyAV 14 pass on the other settings.
        target = Colorspace.ITU601 if source == Colorspace.ITU709 else Colorspace.ITU709
        rgb = self._reformatter.reformat(
            frame,
            format="rgb24",
            src_colorspace=source,
            dst_colorspace=target,
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_UNBIASED,
            **self._size,
        )
        return np.rot90(rgb.to_ndarray(), k=round(frame.rotation / 90) % 4)
