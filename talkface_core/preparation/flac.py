"""Writes mono sound as FLAC, 16 bits, without loss of a sample (through PyAV)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ..media.container import address

_FULL = 2**15


def write_flac(path: Path, wave: NDArray[np.float32], rate: int) -> None:
    """Write `wave` [N], -1..1."""
    samples = (wave * _FULL).round().clip(-_FULL, _FULL - 1).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    with av.open(address(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=rate, layout="mono")
        stream.codec_context.format = "s16"
        stream.codec_context.open()
        pieces = av.AudioResampler("s16", "mono", rate, frame_size=stream.codec_context.frame_size)
        for piece in [*pieces.resample(frame), *pieces.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
