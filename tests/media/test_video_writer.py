"""The written film: exact frames, exact sound, one clock for both, and its name only when it is whole."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.media.audio import AudioSource, audio_source, open_audio
from talkface_core.media.timebase import as_rate, frame_count
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import SYNTHETIC_MARK, VideoWriter, check_output


def sound(samples: int, rate: int = 16000, channels: int = 1) -> AudioSource:
    t = torch.arange(samples) / rate
    waveform = torch.stack([0.4 * torch.sin(6.283 * 200 * (c + 1) * t) for c in range(channels)])
    return audio_source({"waveform": waveform[None], "sample_rate": rate})


def gradient(n: int, height: int, width: int) -> np.ndarray:
    """Smooth coloured frames uint8 [n, H, W, 3] that change from one to the next."""
    k, y, x = np.ogrid[0:n, 0:height, 0:width]
    planes = np.broadcast_arrays(128 + 90 * np.sin(x / 15 + k / 4), 128 + 90 * np.cos(y / 15), 60.0 + 2 * k)
    return np.stack(planes, axis=-1).round().astype(np.uint8)


def read(path: Path) -> np.ndarray:
    return np.concatenate(list(VideoReader(path).chunks()))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


@pytest.mark.parametrize("kind", ["uint8", "float numpy", "float torch", "half torch"])
def test_frames_come_back_in_their_colours(kind: str, tmp_path: Path) -> None:
    frames = gradient(40, 64, 96)
    given: np.ndarray | Tensor = frames
    if kind != "uint8":
        given = (frames / 255).astype(np.float32) if kind == "float numpy" else torch.from_numpy(frames / 255).float()
    with VideoWriter(tmp_path / "a.mp4", 96, 64, 25) as writer:
        chunk = given.half() if kind == "half torch" else given
        for first, last in itertools.pairwise([0, 1, 1, 36, 40]):
            writer.write(chunk[first:last])
        assert writer.frames == 40
    back = read(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert psnr(back, frames) > 38
    assert np.abs((back.astype(float) - frames).mean(axis=(0, 1, 2))).max() < 1.2


def test_float_levels_are_rounded_and_clipped(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25) as writer:
        writer.write(torch.cat([torch.full((1, 16, 16, 3), v) for v in (-3.0, 0.5, 7.0)]))
    assert read(tmp_path / "a.mp4").mean(axis=(1, 2, 3)) == pytest.approx([0, 128, 255], abs=1.5)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 16), (17, 33), (127, 95), (16, 9)])
def test_odd_sizes_grow_by_a_repeated_line(width: int, height: int, tmp_path: Path) -> None:
    frames = gradient(5, height, width)
    with VideoWriter(tmp_path / "a.mp4", width, height, 25) as writer:
        writer.write(frames)
    back = read(tmp_path / "a.mp4")
    assert back.shape == (5, height + height % 2, width + width % 2, 3)
    assert psnr(back[:, :height, :width], frames) > 30
    assert np.abs(back[:, height - 1].astype(int) - back[:, -1]).max() < 40


@pytest.mark.parametrize("fps", [12, 12.5, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, Fraction(1000, 37)])
@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_count_rate_and_sound_are_exact(fps: float | Fraction, rate: int, tmp_path: Path) -> None:
    samples = rate // 3 + 7
    count = frame_count(samples, rate, fps)
    with VideoWriter(tmp_path / "a.mp4", 16, 16, fps, sound(samples, rate)) as writer:
        writer.write(gradient(count, 16, 16))
    reader = VideoReader(tmp_path / "a.mp4")
    assert reader.fps == as_rate(fps)
    assert reader.num_frames == len(read(tmp_path / "a.mp4")) == count
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [Fraction(frame.pts) * frame.time_base for frame in container.decode(video=0)]
    assert times == [k / as_rate(fps) for k in range(count)]
    assert open_audio(tmp_path / "a.mp4").num_samples() == samples


class Breaking(AudioSource):
    """Three seconds of silence, of which only two can be read."""

    sample_rate, channels, name = 8000, 1, "breaking.wav"

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        yield torch.zeros(1, 8000)
        yield torch.zeros(1, 8000)
        raise OSError("the disk went away")

    def num_samples(self) -> int:
        return 24000


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return dict(container.metadata)


def test_the_film_says_that_it_is_synthetic(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, metadata={"title": "Hello", "talkface_seed": "7"}) as writer:
        writer.write(gradient(1, 16, 16))
    assert tags(tmp_path / "a.mp4").items() >= {**SYNTHETIC_MARK, "title": "Hello", "talkface_seed": "7"}.items()
    assert "ynthetic" in SYNTHETIC_MARK["comment"]
    with VideoWriter(tmp_path / "b.mp4", 16, 16, 25, mark=False) as writer:
        writer.write(gradient(1, 16, 16))
    assert not SYNTHETIC_MARK.keys() & tags(tmp_path / "b.mp4").keys()


def test_the_index_comes_first_and_the_codec_is_what_browsers_play(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, sound(8000)) as writer:
        writer.write(gradient(13, 16, 16))
    data, at, boxes = (tmp_path / "a.mp4").read_bytes(), 0, []
    while at < len(data):
        boxes.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    assert boxes.index(b"moov") < boxes.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, int(context.colorspace), int(context.color_range)) == (
            "h264",
            "yuv420p",
            1,
            1,
        )


def test_impossible_targets_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    for target, message in [
        (tmp_path / "a.avi", r"must end in \.mp4"),
        (tmp_path / "a", r"must end in \.mp4, for example a\.mp4"),
        (tmp_path / "folder.mp4", "is a folder"),
        (tmp_path / "nowhere" / "a.mp4", "nowhere does not exist"),
    ]:
        with pytest.raises(InputError, match=message):
            VideoWriter(target, 16, 16, 25)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mp4"]


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink"])
def test_its_own_input_is_never_overwritten(link: str, tmp_path: Path) -> None:
    original = tmp_path / "talk.mp4"
    with VideoWriter(original, 16, 16, 25, sound(8000)) as writer:
        writer.write(gradient(13, 16, 16))
    content, target = original.read_bytes(), original if link == "same" else tmp_path / "other.mp4"
    if link == "symlink":
        target.symlink_to(original)
    elif link == "hardlink":
        target.hardlink_to(original)
    with pytest.raises(InputError, match="also an input"):
        VideoWriter(target, 16, 16, 25, open_audio(original))
    with pytest.raises(InputError, match="also an input"):
        check_output(target, inputs=[original])
    assert original.read_bytes() == content
    assert check_output(tmp_path / "new.mp4", inputs=[original]) == tmp_path / "new.mp4"


def test_a_folder_without_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))  # root may write anywhere
    with pytest.raises(InputError, match="cannot be written to"):
        check_output(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "0 x 16"),
        ({"height": -1}, "16 x -1"),
        ({"fps": 0}, "rate 0"),
        ({"fps": float("nan")}, "rate nan"),
        ({"audio": sound(10, channels=9)}, "9 channels"),
        ({"audio": sound(10, rate=700_000)}, "700000 Hz"),
    ],
)
def test_impossible_settings_are_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        VideoWriter(**{"path": tmp_path / "a.mp4", "width": 16, "height": 16, "fps": 25, **options})
    assert list(tmp_path.iterdir()) == []


def write_and_fail(target: Path, chunks: list, audio: AudioSource | None = None) -> None:
    with VideoWriter(target, 16, 16, 25, audio) as writer:
        for chunk in chunks:
            writer.write(chunk)


@pytest.mark.parametrize(
    ("chunks", "audio", "error", "message"),
    [
        ([], None, InputError, "no frame was written"),
        ([np.zeros((0, 16, 16, 3), np.uint8)], None, InputError, "no frame was written"),
        ([gradient(5, 16, 16), gradient(5, 16, 18)], None, InputError, r"\[5, 16, 18, 3\], expected \[n, 16, 16, 3\]"),
        ([np.zeros((16, 16, 3), np.uint8)], None, InputError, "shape"),
        ([np.zeros((1, 16, 16, 3), np.int64)], None, InputError, "int64"),
        ([torch.full((2, 16, 16, 3), float("nan"))], None, InputError, "NaN"),
        ([gradient(60, 16, 16)], Breaking(), OSError, "disk went away"),
        ([gradient(5, 16, 16)], Breaking(), OSError, "disk went away"),
    ],
)
@pytest.mark.parametrize("existing", [True, False])
def test_after_an_error_the_target_is_as_before(
    chunks: list, audio: AudioSource | None, error: type[Exception], message: str, existing: bool, tmp_path: Path
) -> None:
    target = tmp_path / "a.mp4"
    if existing:
        target.write_bytes(b"the former film")
    with pytest.raises(error, match=message):
        write_and_fail(target, chunks, audio)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([b"the former film"] if existing else [])


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> Iterator[np.ndarray]:
        yield gradient(30, 16, 16)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail(tmp_path / "a.mp4", interrupted(), sound(32000))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_kill_in_the_middle_never_leaves_a_broken_film(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"the former film")
    code = (
        "import os, signal, sys, numpy as np; from talkface_core.media.video_writer import VideoWriter\n"
        "with VideoWriter(sys.argv[1], 16, 16, 25) as writer:\n"
        "    writer.write(np.random.default_rng(0).integers(0, 255, (200, 16, 16, 3), np.uint8))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", code, str(target)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"the former film"
    assert all(path == target or path.name.startswith(".a.mp4.") for path in tmp_path.iterdir())
    with VideoWriter(target, 16, 16, 25) as writer:
        writer.write(gradient(4, 16, 16))
    assert list(tmp_path.iterdir()) == [target]
    assert len(read(target)) == 4


def test_an_encoder_that_gives_up_is_told_in_words(tmp_path: Path) -> None:
    """libx264 refuses such a width; without memory it fails in the same way."""
    with (
        pytest.raises(InputError, match=r"a\.mp4: frames of 20000 x 2 cannot be encoded"),
        VideoWriter(tmp_path / "a.mp4", 20000, 2, 25) as writer,
    ):
        writer.write(np.zeros((1, 2, 20000, 3), np.uint8))
    assert not list(tmp_path.iterdir())
