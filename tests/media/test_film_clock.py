"""Films as people have them: odd clocks, stills, camcorders' formats, several streams; played in both directions."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.media.playback import VideoFrameSource
from talkface_core.media.video_reader import VideoReader

MILLISECONDS = Fraction(1, 1000)


def shades(frames: int) -> list[int]:
    return [20 + 4 * k for k in range(frames)]


def make(
    path: Path, times: Sequence[Fraction], codec: str = "libx264", unit: Fraction = MILLISECONDS, **options
) -> Path:
    """A film whose frames' shades tell their numbers, shown from these times on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={key: str(value) for key, value in options.items()})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = unit
        if codec != "libx264":
            stream.bit_rate = 8_000_000
        # Grain: frames as heavy as real ones, each in packets of its own.
        grain = np.random.default_rng(0).integers(-6, 7, (48, 64, 3))
        for shade, time in zip(shades(len(times)), times, strict=True):
            frame = av.VideoFrame.from_ndarray((shade + grain).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = round(time / unit), unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(chunks) -> list[int]:
    return [round((float(frame.mean()) - 20) / 4) for chunk in chunks for frame in chunk]


def every(count: int, step: float) -> list[Fraction]:
    return [Fraction(round(1000 * k * step), 1000) for k in range(count)]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_still_in_the_middle_stays(tmp_path, name):
    times = [*every(20, 0.04), *(Fraction(3) + time for time in every(20, 0.04))]
    film = VideoFrameSource(VideoReader(make(tmp_path / name, times, g=12, bf=2)))
    wanted = [*range(19), *[19] * 56, *range(20, 40)]  # until 3 s: frame 75
    assert film.fps == 25
    assert numbers(film.forwards(8)) == wanted
    assert numbers(film.backwards(8)) == wanted[::-1]


def test_half_slow(tmp_path):
    times = [*every(20, 0.04), *(Fraction(4, 5) + time for time in every(10, 0.08))]
    film = VideoFrameSource(VideoReader(make(tmp_path / "a.mkv", times)))
    played = numbers(film.forwards(8))
    assert film.fps == 25
    assert played[:20] == list(range(20))
    assert played[20:38] == [20 + k // 2 for k in range(18)]
    assert numbers(film.backwards(8)) == played[::-1]


def test_a_browsers_clock(tmp_path):
    rng = np.random.default_rng(0)
    times = [Fraction(round(1000 * (k / 30 + rng.uniform(0, 0.008))), 1000) for k in range(50)]
    reader = VideoReader(make(tmp_path / "a.webm", times, "libvpx", g=30))
    assert abs(reader.fps - 30) < Fraction(1, 10)
    played = numbers(VideoFrameSource(reader).forwards())
    assert len(played) in range(49, 53)
    assert played == sorted(played)
    assert len(set(played)) >= 48


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", {"g": 13, "bf": 2}),
        ("a.ts", "libx264", {"g": 300}),
        ("a.mts", "libx264", {"g": 5}),
        ("a.m2ts", "mpeg2video", {"g": 15, "bf": 2}),
        ("a.mpg", "mpeg2video", {"g": 12, "bf": 2}),
        ("a.vob", "mpeg2video", {"g": 12}),
        ("a.avi", "mpeg4", {"g": 12}),
        ("a.flv", "libx264", {"g": 12, "bf": 2}),
        ("a.mov", "libx264", {"g": 12, "bf": 2}),
        ("a.h264", "libx264", {"g": 12}),
    ],
)
def test_every_container_plays_backwards(tmp_path, name, codec, options):
    film = VideoFrameSource(VideoReader(make(tmp_path / name, every(50, 0.04), codec, Fraction(1, 25), **options)))
    assert film.fps == 25
    assert numbers(film.forwards(8)) == list(range(50))
    assert numbers(film.backwards(8)) == list(range(50))[::-1]


@pytest.mark.parametrize(("begin", "end"), [(None, Fraction(1, 2)), (Fraction(3, 10), Fraction(9, 10)), (1, None)])
def test_a_part_between_any_two_times(tmp_path, begin, end):
    """Frames count from the beginning of the part, which may lie within a frame."""
    path = make(tmp_path / "a.ts", every(40, 0.04), g=13)
    reader = VideoReader(path)
    span = tuple(None if time is None else reader.start + time for time in (begin, end))
    film = VideoFrameSource(reader, *span)
    since, until = begin or 0, Fraction(8, 5) if end is None else end
    moments = [since + Fraction(2 * k + 1, 50) for k in range(60)]
    wanted = [int(moment * 25) for moment in moments if moment < until]
    assert numbers(film.forwards(7)) == wanted
    assert numbers(film.backwards(7)) == wanted[::-1]


def test_the_film_is_found_beside_a_still(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        still = container.add_stream("mjpeg", rate=25)
        still.width, still.height, still.pix_fmt = 128, 96, "yuvj420p"
        film = container.add_stream("libx264", rate=25)
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 240, np.uint8), "rgb24")
        container.mux([*still.encode(picture), *still.encode(None)])
        for shade in shades(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), shade, np.uint8), "rgb24")
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    reader = VideoReader(path)
    assert (reader.width, reader.height) == (64, 48)
    assert numbers(VideoFrameSource(reader).forwards()) == list(range(10))


def test_a_cover_picture_is_no_film(tmp_path):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=16000)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")
        container.mux([*cover.encode(picture), *cover.encode(None)])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux([*sound.encode(frame), *sound.encode(None)])
    with pytest.raises(InputError, match=r"a\.mp3 holds sound with a cover picture and no film"):
        VideoReader(path)
