"""A made picture as a file: PNG that says in its metadata that it is synthetic, whole or not at all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import whole_file
from .video_writer import SYNTHETIC_MARK

_HEADER = 33
"""Bytes of a PNG's signature and first chunk; text may stand behind it."""


def write_picture(path: str | Path, picture: NDArray[np.uint8], metadata: Mapping[str, str] | None = None) -> Path:
    """Write RGB uint8 [H,W,3] as a PNG (see `check_output`), with SYNTHETIC_MARK and `metadata` as its texts."""
    # OpenCV sets an environment variable when imported.
    import cv2

    _, coded = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    data = coded.tobytes()
    texts = b"".join(_text(*pair) for pair in {**SYNTHETIC_MARK, **(metadata or {})}.items())
    with whole_file(path) as part:
        part.write_bytes(data[:_HEADER] + texts + data[_HEADER:])
    return Path(path)


def _text(key: str, words: str) -> bytes:
    """An iTXt chunk (PNG specification, 11.3.3.4), uncompressed UTF-8."""
    body = b"iTXt" + key.capitalize().encode("latin-1") + b"\0\0\0\0\0" + words.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
