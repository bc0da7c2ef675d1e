"""A video stopped or played to and fro: the right frames in the right order, whatever the codec, in bounded memory."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.media import video_reader
from talkface_core.media.playback import TensorFrameSource, VideoFrameSource, frame_order, iterate_frames
from talkface_core.media.video_reader import VideoReader

FRAMES = 53


def shade(k: int) -> int:
    return 20 + 4 * k


@pytest.fixture(scope="module", params=[("libx264", {"g": "12", "bf": "2"}), ("libx264", {"g": "300"}), ("mpeg4", {})])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames whose shade tells their number: short groups with B-frames, one long group, and another codec."""
    codec, options = request.param
    path = tmp_path_factory.mktemp("play") / "shades.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "1", **options} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if codec == "mpeg4":
            stream.bit_rate = 4_000_000
        for k in range(FRAMES):
            picture = np.full((48, 64, 3), shade(k), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path


def numbers(chunks) -> list[int]:
    """Which frames these are, read off their shade."""
    return [round((float(frame.mean()) - 20) / 4) for chunk in chunks for frame in chunk]


def test_backwards_gives_every_frame_once(video):
    chunks = list(VideoFrameSource(VideoReader(video)).backwards(8))
    assert [len(chunk) for chunk in chunks] == [8] * 6 + [5]
    assert numbers(chunks) == list(range(FRAMES))[::-1]


def test_backwards_decodes_each_frame_about_once(video, monkeypatch):
    """However few frames are asked for at a time, and however long a group of pictures is."""
    decoded = []
    real = VideoReader._decoded
    monkeypatch.setattr(VideoReader, "_decoded", lambda *a: (decoded.append(1) or f for f in real(*a)))
    film = VideoFrameSource(VideoReader(video))
    decoded.clear()
    assert numbers(film.backwards(1)) == list(range(FRAMES))[::-1]
    assert len(decoded) <= 2 * FRAMES  # a seek may end a group of pictures early


@pytest.mark.parametrize("frames_held", [0.5, 1, 7, 20])
def test_frames_are_held_up_to_so_many_bytes(video, monkeypatch, frames_held):
    sizes = []
    real = VideoReader._last

    def last(*arguments):
        buffer, stop = real(*arguments)
        sizes.append(len(buffer))
        return buffer, stop

    monkeypatch.setattr(VideoReader, "_last", last)
    frame = next(VideoReader(video)._all())
    monkeypatch.setattr(video_reader, "_BUFFER_BYTES", int(frames_held * video_reader._size_of(frame)))
    assert numbers(VideoFrameSource(VideoReader(video)).backwards(8)) == list(range(FRAMES))[::-1]
    assert max(sizes) <= max(1, frames_held)
    assert sum(sizes) == FRAMES


def test_large_frames_are_handed_on_fewer_at_a_time(video, monkeypatch):
    monkeypatch.setattr(video_reader, "_CHUNK_BYTES", 3 * 48 * 64 * 3)
    film = VideoFrameSource(VideoReader(video))
    for chunks in (film.forwards(8), film.backwards(8), iterate_frames(film, FRAMES, FRAMES, "bounce", 8)):
        assert [len(chunk) for chunk in chunks] == [3] * 17 + [2]
    assert [len(chunk) for chunk in iterate_frames(film, 1, 5, "bounce", 8)] == [3, 2]


@pytest.mark.parametrize("wanted", [0, 1, 10, FRAMES, FRAMES + 1, 2 * FRAMES, 5 * FRAMES + 3])
@pytest.mark.parametrize("rule", ["bounce", "stop", "once"])
def test_it_plays_as_the_order_says(video, rule, wanted):
    order = frame_order(FRAMES, wanted, rule)
    chunks = list(iterate_frames(VideoFrameSource(VideoReader(video)), FRAMES, wanted, rule, 16))
    assert all(0 < len(chunk) <= 16 for chunk in chunks)
    assert numbers(chunks) == order.tolist()


@pytest.mark.parametrize(("begin", "end"), [(0, 20), (7, 31), (30, None), (12, 13), (0, None)])
def test_a_part_of_a_film(video, begin, end):
    """By the frames' times: the first of them are a key frame's neighbours, the last not shown any more."""
    inside = list(range(begin, FRAMES if end is None else end))
    film = VideoFrameSource(VideoReader(video), Fraction(begin, 25), None if end is None else Fraction(end, 25))
    assert numbers(film.forwards(8)) == inside
    assert numbers(film.backwards(8)) == inside[::-1]


def test_reading_can_be_stopped(video):
    class Enough(Exception):
        pass

    def check():
        if stopped:
            raise Enough

    stopped = False
    film = VideoFrameSource(VideoReader(video, check))
    forwards, backwards = film.forwards(4), film.backwards(4)
    next(forwards), next(backwards)
    stopped = True
    for chunks in (forwards, backwards, film.backwards(4)):
        with pytest.raises(Enough):
            list(chunks)


@pytest.mark.parametrize("wanted", [1, 2, 20])
def test_of_a_longer_film_as_much_as_is_wanted(video, wanted):
    film = VideoFrameSource(VideoReader(video))
    assert numbers(iterate_frames(film, wanted, wanted, "bounce", 16)) == list(range(wanted))


def test_orders():
    assert frame_order(4, 9, "bounce").tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert frame_order(1, 3, "bounce").tolist() == [0, 0, 0]
    assert frame_order(2, 5, "bounce").tolist() == [0, 1, 0, 1, 0]
    assert frame_order(4, 9, "stop").tolist() == [0, 1, 2, 3]
    assert frame_order(4, 9, "once").tolist() == frame_order(4, 2, "once").tolist() == [0, 1, 2, 3]
    assert frame_order(4, 2, "bounce").tolist() == [0, 1]
    for wrong in ((4, 2, "loop"), (0, 2, "stop"), (4, -1, "stop")):
        with pytest.raises(InputError):
            frame_order(*wrong)


def test_a_single_frame_is_held(tmp_path):
    path = tmp_path / "one.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 60, np.uint8), "rgb24")))
        container.mux(stream.encode(None))
    assert numbers(iterate_frames(VideoFrameSource(VideoReader(path)), 1, 5, "bounce")) == [10] * 5


@pytest.mark.parametrize("rule", ["bounce", "stop", "once"])
def test_a_batch_plays_like_a_file(rule):
    frames = torch.arange(7).float()[:, None, None, None].expand(-1, 4, 6, 3) / 255
    film = TensorFrameSource(frames, 12)
    assert (film.width, film.height, film.fps) == (6, 4, 12)
    order = [int(frame[0, 0, 0]) for chunk in iterate_frames(film, 7, 20, rule, 3) for frame in chunk]
    assert order == frame_order(7, 20, rule).tolist()
    with pytest.raises(InputError):
        TensorFrameSource(frames[:0], 25)


def test_floats_may_be_played_as_they_are():
    frames = torch.rand(5, 4, 6, 3, generator=torch.Generator().manual_seed(0))
    for given in (frames, frames.half()):
        film = TensorFrameSource(given, 25, exact=True)
        for chunks, wanted in ((film.forwards(2), given), (film.backwards(2), given.flip(0))):
            played = np.concatenate(list(chunks))
            assert played.dtype == np.float32
            assert np.array_equal(played, wanted.float().numpy())
    assert next(TensorFrameSource((frames * 255).byte(), 25, exact=True).forwards(2)).dtype == np.uint8
    assert next(TensorFrameSource(frames, 25).forwards(2)).dtype == np.uint8
