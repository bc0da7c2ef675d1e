"""Sizes by the header alone, as OpenCV writes them, and what is too large to be unpacked."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.media.picture import read_picture
from talkface_core.media.picture_size import LARGEST, picture_size

KINDS = {"png": [], "jpg": [], "bmp": [], "webp": [cv2.IMWRITE_WEBP_QUALITY, 90], "tiff": []}


def coded(kind: str, width: int, height: int, *options: int) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(f".{kind}", picture, [*KINDS[kind], *options])[1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "height"), [(7, 300), (259, 2)])
def test_sizes(kind: str, width: int, height: int) -> None:
    data = coded(kind, width, height)
    assert picture_size(data) == (width, height)
    for end in range(0, min(len(data), 700), 3):
        assert picture_size(data[:end]) in (None, (width, height))


def test_other_layouts() -> None:
    assert picture_size(coded("webp", 40, 30, cv2.IMWRITE_WEBP_QUALITY, 101)) == (40, 30)  # lossless
    assert picture_size(coded("jpg", 40, 30, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)) == (40, 30)
    extended = b"RIFF____WEBPVP8X" + struct.pack("<II", 10, 0) + (39).to_bytes(3, "little") + (29).to_bytes(3, "little")
    assert picture_size(extended) == (40, 30)
    assert picture_size(b"GIF89a") is None


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
def test_a_picture_too_large_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str) -> None:
    data = bytearray(coded(kind, 7, 5))
    order = {"png": ">II", "jpg": ">HH", "bmp": "<ii"}[kind]
    size = (5, 7) if kind == "jpg" else (7, 5)
    at = data.index(struct.pack(order, *size))
    data[at : at + struct.calcsize(order)] = struct.pack(order, 30_000, 30_000)
    path = tmp_path / f"large.{kind}"
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"large.{kind} has 30000 x 30000 pixels, more than {LARGEST:,}"):
        read_picture(path)


def test_an_animation_that_would_fill_the_memory(tmp_path: Path) -> None:
    from talkface_core.media.picture import open_film

    head = b"WEBPVP8X" + struct.pack("<II", 10, 2) + (16_000).to_bytes(3, "little") * 2
    path = tmp_path / "large.webp"
    path.write_bytes(b"RIFF____" + head + b"ANMF____" * 100)
    with pytest.raises(InputError, match="100 pictures of 16001 x 16001 are held at once"):
        open_film(path)
