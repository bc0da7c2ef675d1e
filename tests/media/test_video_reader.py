"""Reading films: chunks, colours, turned telephones, and files that are none."""

import gc
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from talkface_core.errors import InputError
from talkface_core.media.audio import audio_source
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter

CORNERS = np.array([[[230, 30, 30], [30, 200, 30]], [[30, 30, 220], [220, 220, 40]]], np.uint8)


def picture(height: int = 32, width: int = 48) -> np.ndarray:
    """Four coloured quarters: red and green above blue and yellow, [H, W, 3]."""
    return CORNERS.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twenty frames that grow brighter by ten levels each."""
    levels = 20 + 10 * np.arange(20, dtype=np.uint8)
    with VideoWriter(tmp_path / "film.mp4", 32, 16, 25) as writer:
        writer.write(np.broadcast_to(levels[:, None, None, None], (20, 16, 32, 3)).copy())
    return tmp_path / "film.mp4"


def test_frames_leave_memory_as_they_are_read(film: Path) -> None:
    """Without Python's collector, which comes by seldom where a network lies in memory."""
    reader = VideoReader(film)
    gc.collect()
    gc.disable()
    try:
        for read in (reader.chunks(4), reader.steady(25, 4), reader.steady_backwards(25, 4)):
            for _ in read:
                pass
        assert not [one for one in gc.get_objects() if type(one) is av.VideoFrame]
    finally:
        gc.enable()


@pytest.mark.parametrize("n", [1, 7, 20, 64])
def test_chunks_hold_every_frame_in_order(n: int, film: Path) -> None:
    reader = VideoReader(film)
    chunks = list(reader.chunks(n))
    assert [len(chunk) for chunk in chunks] == [n] * (20 // n) + [20 % n] * (20 % n > 0)
    assert all(chunk.dtype == np.uint8 for chunk in chunks)
    levels = np.concatenate(chunks).mean(axis=(1, 2, 3))
    assert levels == pytest.approx(20 + 10 * np.arange(20), abs=1.5)
    assert (reader.width, reader.height, reader.fps, reader.num_frames, reader.has_audio) == (32, 16, 25, 20, False)
    half = reader.chunks(5)
    next(half)
    assert np.array_equal(next(reader.chunks(5)), next(reader.chunks(5)))


def test_sound_is_noticed(tmp_path: Path) -> None:
    source = audio_source({"waveform": np.zeros((1, 1, 800), np.float32), "sample_rate": 8000})
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, source) as writer:
        writer.write(np.zeros((3, 16, 16, 3), np.uint8))
    assert VideoReader(tmp_path / "a.mp4").has_audio


@pytest.mark.parametrize(("colorspace", "full"), [(1, False), (5, False), (6, False), (1, True), (5, True), (2, False)])
def test_colours_follow_the_stream(colorspace: int, full: bool, tmp_path: Path) -> None:
    """BT.709 and BT.601, limited and full range; untagged small pictures are BT.601, as players assume."""
    kr, kb = (0.2126, 0.0722) if colorspace == 1 else (0.299, 0.114)
    rgb = picture().astype(float) / 255
    y = rgb @ [kr, 1 - kr - kb, kb]
    u, v = (rgb[..., 2] - y) / (2 - 2 * kb), (rgb[..., 0] - y) / (2 - 2 * kr)
    scale, chroma, floor = (255, 255, 0) if full else (219, 224, 16)
    planes = [floor + scale * y, 128 + chroma * u[::2, ::2], 128 + chroma * v[::2, ::2]]
    packed = np.concatenate([plane.reshape(-1, 48) for plane in planes]).round().clip(0, 255).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(packed, format="yuv420p")
    frame.pts = 0
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=48, height=32, pix_fmt="yuv420p", options={"crf": "1"})
        stream.codec_context.colorspace, stream.codec_context.color_range = colorspace, 2 if full else 1
        frame.colorspace, frame.color_range = colorspace, 2 if full else 1
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    back = next(VideoReader(tmp_path / "a.mp4").chunks())[0].astype(float)
    inner = np.abs(back - picture())[[8, 8, 24, 24], [12, 36, 12, 36]]
    assert inner.max() < 4


# The display matrix of an mp4 track (ISO/IEC 14496-12, 8.3.2) as x' = a x + c y, y' = b x + d y, np.rot90's turns, and
# whether the picture is mirrored left to right before it is turned.
TURNS = [
    *(((1, 0, 0, 1), 0, False), ((0, 1, -1, 0), -1, False), ((-1, 0, 0, -1), 2, False), ((0, -1, 1, 0), 1, False)),
    *(((-1, 0, 0, 1), 0, True), ((0, -1, -1, 0), -1, True), ((1, 0, 0, -1), 2, True), ((0, 1, 1, 0), 1, True)),
]


@pytest.mark.parametrize(("matrix", "turns", "mirrored"), TURNS)
def test_turned_and_mirrored_films_are_set_upright(
    matrix: tuple[int, int, int, int], turns: int, mirrored: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 48, 32, 25) as writer:
        writer.write(picture()[None])
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of times, layer and volume
    assert struct.unpack(">9i", data[at : at + 36]) == (65536, 0, 0, 0, 65536, 0, 0, 0, 2**30)
    a, b, c, d = (65536 * value for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(data)
    reader = VideoReader(path)
    wanted = np.rot90(picture()[:, ::-1] if mirrored else picture(), turns)
    assert (reader.height, reader.width) == wanted.shape[:2]
    frame = next(reader.chunks())[0]
    rows, columns = [4, 4, -4, -4], [4, -4, 4, -4]
    assert np.abs(frame[rows, columns].astype(int) - wanted[rows, columns]).max() < 25


def test_damaged_and_cut_off_films(film: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = film.read_bytes()
    (film.parent / "cut.mp4").write_bytes(data[: len(data) - 60])
    frames = np.concatenate(list(VideoReader(film.parent / "cut.mp4").chunks()))
    assert 0 < len(frames) <= 20
    film.write_bytes(data[: len(data) // 4])
    with pytest.raises(InputError, match=r"film\.mp4 (cannot be read|holds no picture)"):
        VideoReader(film)


@pytest.mark.parametrize("content", [b"", b"These are words, not pictures.\n" * 40], ids=["empty", "text"])
def test_files_that_are_no_film(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read as video"):
        VideoReader(tmp_path / "a.mp4")


def test_missing_film_and_film_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mp4 does not exist"):
        VideoReader(tmp_path / "nowhere.mp4")
    soundfile.write(tmp_path / "a.wav", np.zeros(800, np.float32), 8000)
    with pytest.raises(InputError, match=r"a\.wav has no pictures"):
        VideoReader(tmp_path / "a.wav")


def stamped(path: Path, stamps: list[int], unit: Fraction, codec: str = "libx264") -> Path:
    """A film whose frame i has the grey level 10 + 5 i and the time stamp stamps[i] * unit."""
    rate = 1 / unit if unit > Fraction(1, 100) else 25
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, width=32, height=16, pix_fmt="yuv420p", options={"bf": "0"})
        stream.time_base = stream.codec_context.time_base = unit
        for i, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 10 + 5 * i, np.uint8), format="rgb24")
            frame.pts, frame.time_base = stamp, unit
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def frame_numbers(path: Path, fps: object = 25) -> list[int]:
    """Which of the frames of `stamped` is shown at each instant."""
    levels = np.concatenate(list(VideoReader(path).steady(fps, 7))).mean(axis=(1, 2, 3))
    return [round((level - 10) / 5) for level in levels]


def nearest(stamps: list[int], unit: Fraction, fps: Fraction, end: Fraction) -> list[int]:
    """The same by the definition: the last frame that begins before the middle of each interval of 1 / fps."""
    begins = [(stamp - stamps[0]) * unit for stamp in stamps]
    middles = [(k + Fraction(1, 2)) / fps for k in range(int(end * fps) + 2)]
    return [max(i for i, begin in enumerate(begins) if begin <= m) for m in middles if m < end]


@pytest.mark.parametrize("source", [Fraction(25), Fraction(30), Fraction(60), Fraction(24000, 1001), Fraction(15)])
def test_a_steady_rate_out_of_every_other(source: Fraction, tmp_path: Path) -> None:
    stamps = list(range(30))
    path = stamped(tmp_path / "a.mp4", stamps, 1 / source)
    assert frame_numbers(path) == nearest(stamps, 1 / source, Fraction(25), 30 / source)
    if source == 25:
        assert frame_numbers(path) == stamps


def test_a_varying_rate_a_gap_and_a_late_start_keep_their_times(tmp_path: Path) -> None:
    stamps = [507, 547, 600, 601, 640, 700, 1100, 1140, 1180]  # milliseconds; nothing between 700 and 1100
    path = stamped(tmp_path / "a.mkv", stamps, Fraction(1, 1000))
    assert VideoReader(path).start == Fraction(507, 1000)
    got = frame_numbers(path)
    wanted = nearest(stamps, Fraction(1, 1000), Fraction(25), Fraction(1220 - 507, 1000))
    assert got[: len(wanted) - 1] == wanted[:-1]
    assert abs(len(got) - len(wanted)) <= 1  # how long the last frame stays, the file does not say
    assert got.count(5) == 10


def test_frames_without_time_stamps_follow_the_rate(tmp_path: Path) -> None:
    assert frame_numbers(stamped(tmp_path / "a.avi", list(range(10)), Fraction(1, 30), "mpeg4"), 30) == list(range(10))


def test_a_broken_clock_is_told(tmp_path: Path) -> None:
    path = stamped(tmp_path / "a.mkv", [0, 40, 90_000_000], Fraction(1, 1000))
    with pytest.raises(InputError, match=r"a\.mkv: its clock jumps from 0\.0 to 90000\.0 s"):
        list(VideoReader(path).steady(25))
