"""The size that a picture's header tells, before anything is unpacked: a small file may hold gigabytes of pixels."""

from __future__ import annotations

import struct

from ..errors import InputError

LARGEST = 2**27
"""Pixels that a picture or a frame of a film may have: 134 million, 16 times 4K."""

_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers of a frame: SOF0 to SOF15, without DHT, JPG and DAC
_ALONE = {0x01, *range(0xD0, 0xDA)}  # markers without a length
_TIFF_SIZES = {256: 0, 257: 1}  # ImageWidth, ImageLength


def check_size(name: str, width: int, height: int) -> None:
    """Raises InputError, which calls the file `name`, for more pixels than are read."""
    if width * height > LARGEST:
        raise InputError(f"{name} has {width} x {height} pixels, more than {LARGEST:,}: shrink it")


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header of a PNG, JPEG, BMP, WebP or TIFF; None where it tells none."""
    try:
        if data[12:16] == b"IHDR":
            return struct.unpack(">II", data[16:24])
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack("<ii", data[18:26])
            return abs(width), abs(height)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data, "<" if data[:2] == b"II" else ">")
    except (struct.error, IndexError):
        pass  # cut off: whoever decodes it tells so
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 if marker in _ALONE else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes, order: str) -> tuple[int, int] | None:
    (at,) = struct.unpack(f"{order}I", data[4:8])
    (count,) = struct.unpack(f"{order}H", data[at : at + 2])
    size: list[int] = [0, 0]
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack(f"{order}HH", data[entry : entry + 4])
        if tag in _TIFF_SIZES:
            width, code = (2, "H") if kind == 3 else (4, "I")
            (size[_TIFF_SIZES[tag]],) = struct.unpack(f"{order}{code}", data[entry + 8 : entry + 8 + width])
    return (size[0], size[1]) if all(size) else None
