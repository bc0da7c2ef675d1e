"""Films that grow: playable at every moment, sound and picture in step, marked as synthetic."""

import os
from itertools import pairwise
from pathlib import Path

import av
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.media.live_sound import LiveSound
from talkface_core.media.live_writer import LiveWriter
from talkface_core.media.video_writer import SYNTHETIC_MARK

SIZE, FPS, STEP = 18, 25, 4


def beep(rate: int, seconds: float = 2.0) -> torch.Tensor:
    """Silence for a second, then a tone."""
    times = torch.arange(int(seconds * rate)) / rate
    return torch.where(times < 1, 0.0, 0.3 * (2 * torch.pi * 440 * times).sin())


def pictures(first: int, n: int) -> torch.Tensor:
    """Dark for a second, then bright."""
    bright = torch.arange(first, first + n) >= FPS
    return (bright * 255).to(torch.uint8)[:, None, None, None].expand(n, SIZE, SIZE, 3).contiguous()


def write(target, form: str, rate: int, frames: int = 50, after=lambda done: None) -> None:
    live = LiveSound(((chunk[None], 0.0) for chunk in beep(rate).split(rate // 100)), rate, 1, "beep", "mono")
    coming = live.blocks(0.01)
    with LiveWriter(target, form, SIZE, SIZE, FPS, live.track) as writer:
        for first in range(0, frames, STEP):
            while live.samples < (first + STEP + 5) * rate // FPS and next(coming, None) is not None:
                pass
            writer.write(pictures(first, min(STEP, frames - first)), live.samples)
            after(writer.frames)


def times(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        (stream,) = getattr(container.streams, kind)
        return [float(packet.pts * packet.time_base) for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize("form", ["mp4", "ts"])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_sound_and_picture_are_in_step(tmp_path, form, rate):
    path = tmp_path / f"out.{form}"
    write(path, form, rate)
    shown = times(path, "video")
    assert len(shown) == 50
    assert [round(b - a, 4) for a, b in pairwise(shown)] == [0.04] * 49
    with av.open(str(path)) as container:
        bright = next(float(f.pts * f.time_base) for f in container.decode(video=0) if f.to_ndarray().mean() > 60)
    with av.open(str(path)) as container:
        loud = next(float(f.pts * f.time_base) for f in container.decode(audio=0) if abs(f.to_ndarray()).max() > 0.1)
    assert bright - shown[0] == pytest.approx(1.0, abs=1e-3)
    assert loud <= bright <= loud + 1024 / rate + 0.01
    heard = times(path, "audio")
    assert heard[-1] - shown[0] == pytest.approx(2.0, abs=2100 / rate)


@pytest.mark.parametrize("form", ["mp4", "ts"])
def test_what_is_there_plays_all_along(tmp_path, form):
    path, seen = tmp_path / f"out.{form}", []

    def look(done: int) -> None:
        if 3 * STEP <= done <= 40:  # the sound has come further than the picture
            seen.append(done - len(times(path, "video")))

    write(path, form, 16000, after=look)
    assert seen
    assert max(seen) <= 1  # the last frame of a step waits for the sound beside it


def test_mp4_says_that_it_is_synthetic_and_so_does_ts(tmp_path):
    write(tmp_path / "out.mp4", "mp4", 16000)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert SYNTHETIC_MARK.items() <= container.metadata.items()
    write(tmp_path / "out.ts", "ts", 16000)
    assert b"Synthetic media" in (tmp_path / "out.ts").read_bytes()


def test_an_error_leaves_what_plays(tmp_path):
    class Stopped(Exception):
        pass

    def stop(done: int) -> None:
        if done >= 20:
            raise Stopped

    with pytest.raises(Stopped):
        write(tmp_path / "out.mp4", "mp4", 16000, after=stop)
    assert len(times(tmp_path / "out.mp4", "video")) == 20


def test_no_frame_no_file(tmp_path):
    write(tmp_path / "out.mp4", "mp4", 16000, frames=0)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out.mp4").write_bytes(b"older")
    write(tmp_path / "out.mp4", "mp4", 16000, frames=0)
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    write(tmp_path / "out.mp4", "mp4", 16000, frames=9)
    assert len(times(tmp_path / "out.mp4", "video")) == 9


def test_a_reader_that_goes_is_told(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        write(writer, "mp4", 16000)
    os.close(writer)


def test_what_no_format_carries(tmp_path):
    live = LiveSound([], 44056, 1, "odd")
    with pytest.raises(InputError, match="44056 Hz, which ts cannot carry"):
        LiveWriter(tmp_path / "out.ts", "ts", SIZE, SIZE, FPS, live.track)
    with pytest.raises(InputError, match="format 'avi' is unknown"):
        LiveWriter(tmp_path / "out.avi", "avi", SIZE, SIZE, FPS, live.track)
    with pytest.raises(InputError, match="0 x 5 pixels"):
        LiveWriter(tmp_path / "out.mp4", "mp4", 0, 5, FPS, live.track)
