"""Pictures are what their content says, still or moving, large, transparent or of a kind that is not read."""

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.media.picture import open_film, picture_kind, read_picture
from talkface_core.media.playback import TensorFrameSource, VideoFrameSource

GREY = np.full((48, 64, 3), 100, np.uint8)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "png"), (".jpg", "jpeg"), (".bmp", "bmp"), (".webp", "webp")])
@pytest.mark.parametrize("name", ["a{}", "a.mp4", "a"])
def test_a_still_is_a_film_of_one_frame_whatever_its_name(tmp_path, suffix, kind, name):
    path = tmp_path / name.format(suffix)
    path.write_bytes(cv2.imencode(suffix, GREY)[1].tobytes())
    assert picture_kind(path) == kind
    film = open_film(path)
    assert isinstance(film, TensorFrameSource)
    assert (film.width, film.height, film.fps) == (64, 48, 25)
    assert np.abs(next(film.forwards())[0].astype(int) - 100).max() < 3


def animation(count=6, milliseconds=100):
    moving = cv2.Animation()
    moving.frames = [np.full((48, 64, 4), (40 * k, 40 * k, 40 * k, 255), np.uint8) for k in range(count)]
    moving.durations = np.full(count, milliseconds, np.int32)
    return moving


@pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
@pytest.mark.parametrize("name", ["a{}", "a.mp4"])
def test_moving_pictures_move_whatever_their_name(tmp_path, suffix, name):
    real = tmp_path / f"made{suffix}"
    assert cv2.imwriteanimation(str(real), animation())
    film = open_film(real.rename(tmp_path / name.format(suffix)))
    levels = [float(frame.mean()) for chunk in film.forwards() for frame in chunk]
    assert film.fps == 10
    assert len(levels) == 6
    assert np.allclose(levels, 40 * np.arange(6), atol=4)
    back = [float(frame.mean()) for chunk in film.backwards() for frame in chunk]
    assert back == levels[::-1]


def test_films_are_films(tmp_path):
    path = tmp_path / "film.png"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(GREY, "rgb24")))
        container.mux(stream.encode(None))
    assert isinstance(open_film(path), VideoFrameSource)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_transparent_pictures_lie_on_white(tmp_path, depth):
    whole = np.iinfo(depth).max
    picture = np.zeros((48, 64, 4), depth)
    picture[..., 0] = picture[..., 2] = whole
    picture[:24, :, 3] = whole
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    read = read_picture(tmp_path / "a.png")
    assert (read[:24] == [255, 0, 255]).all()
    assert (read[24:] == 255).all()


def test_photos_of_other_kinds_are_named(tmp_path):
    path = tmp_path / "a.heic"
    path.write_bytes(struct.pack(">I4s4s", 24, b"ftyp", b"heic") + bytes(100))
    for reader in (open_film, read_picture):
        with pytest.raises(InputError, match=r"a\.heic is a photo of a kind that is not read \(HEIC, AVIF\)"):
            reader(path)


def test_a_picture_too_large_is_told_before_it_is_unpacked(tmp_path):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="60000 x 60000 pixels"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 and then nothing", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_broken_pictures(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png"):
        read_picture(tmp_path / "a.png", "reference picture")


@pytest.mark.parametrize("kind", ["bmp", "tiff", "webp"])
def test_opencv_is_silent_about_a_damaged_picture(tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    data = cv2.imencode(f".{kind}", np.zeros((40, 30, 3), np.uint8))[1].tobytes()
    path = tmp_path / f"cut.{kind}"
    path.write_bytes(data[: len(data) // 2])
    with suppress(InputError):
        read_picture(path)
    assert capfd.readouterr().err == ""
