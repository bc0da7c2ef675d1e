"""Files of several sound tracks, and sound that breaks in FFmpeg's every way."""

import struct
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition

from talkface_core.errors import InputError
from talkface_core.media.audio import load_audio, open_audio
from talkface_core.media.audio_frames import Damage, decoded_frames, stamped_pieces
from talkface_core.media.container import film_start, open_input

RATE = 16000


def tracks(path: Path, *levels: float, flags: Iterable[Disposition | None] = ()) -> Path:
    """A file whose tracks are steady, each at its level [2 s of 16 kHz]; `flags` of the first ones."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in levels]
        for stream, flag in zip(streams, flags, strict=False):
            stream.disposition = flag or 0
        for second in range(2):
            for stream, level in zip(streams, levels, strict=True):
                samples = np.full((1, RATE), round(level * 2**15), np.int16)
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.pts = RATE, second * RATE
                container.mux(stream.encode(frame))
    return path


def level(path: Path) -> float:
    wave = load_audio(path)["waveform"]
    assert wave.min() == wave.max()
    return wave.max().item()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


NONE, DEFAULT, COMMENT = Disposition(0), Disposition.default, Disposition.comment


@pytest.mark.parametrize(
    ("levels", "flags", "taken"),
    [
        ((0.25, 0.5), (DEFAULT, NONE), 0.25),
        ((0.25, 0.5), (NONE, DEFAULT), 0.5),
        ((0.25, 0.5), (NONE, NONE), 0.25),
        ((0.25, 0.5), (COMMENT, NONE), 0.5),
        ((0.25, 0.5, 0.125), (Disposition.visual_impaired, COMMENT, NONE), 0.125),
        ((0.0, 0.0), (NONE, DEFAULT), 0.0),
    ],
)
def test_the_track_that_is_meant(
    levels: tuple[float, ...],
    flags: tuple[Disposition, ...],
    taken: float,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert level(tracks(tmp_path / "a.mkv", *levels, flags=flags)) == taken
    assert not caplog.records


@pytest.mark.parametrize("silence", [0.0, 2**-13])
def test_a_silent_track_beside_one_that_is_heard(
    silence: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tracks(tmp_path / "a.mkv", silence, 0.5, 0.25, flags=[DEFAULT, NONE, NONE])
    source = open_audio(path)
    assert next(source.blocks()).max() == 0.5
    source.num_samples()
    assert messages(caplog) == ["a.mkv has 3 sound tracks: number 1 is silent, number 2 is taken"]


def test_a_track_that_cannot_be_decoded_beside_one_that_can(tmp_path: Path) -> None:
    """As of telephones that write a second track in a format of their own, flagged as default or not."""
    path = tracks(tmp_path / "a.mov", 0.25, 0.5)
    data = path.read_bytes()
    first = data.index(b"sowt")
    path.write_bytes(data[:first] + b"apac" + data[first + 4 :])
    assert level(path) == 0.5
    path.write_bytes(data.replace(b"sowt", b"apac"))
    with pytest.raises(InputError, match=r"a\.mov.*(no decoder|no sound that decodes)") as caught:
        open_audio(path)
    assert "\n" not in str(caught.value)


def test_a_cover_picture_is_no_film(tmp_path: Path) -> None:
    """Sound that begins late beside nothing but its cover begins with its first sample."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1, width=16, height=16, pix_fmt="yuvj420p")
        cover.disposition = Disposition.attached_pic
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        picture = av.VideoFrame(16, 16, "yuvj420p")
        picture.pts = 0
        container.mux([*cover.encode(picture), *cover.encode(None)])
        frame = av.AudioFrame.from_ndarray(np.full((1, RATE), 1000, np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, RATE
        container.mux(stream.encode(frame))
    assert open_audio(path).num_samples() == RATE
    with open_input(path, "audio") as container:
        assert container.streams.video
        assert film_start(container) is None


def test_a_title_in_another_alphabet(tmp_path: Path) -> None:
    """Old programs wrote Latin-1, which is no UTF-8."""
    samples = np.full(RATE, 8192, "<i2").tobytes()
    title = b"INAM" + struct.pack("<I", 6) + b"caf\xe9\xfc\0"
    info = b"LIST" + struct.pack("<I", 4 + len(title)) + b"INFO" + title
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + form + info + b"data" + struct.pack("<I", len(samples)) + samples
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert level(tmp_path / "a.wav") == 0.25


@pytest.mark.parametrize("rate", [0, 1, 44, 2**31 - 1, 2**32 - 1])
def test_absurd_rates(rate: int, tmp_path: Path) -> None:
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 0, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", 2000) + bytes(2000)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with pytest.raises(InputError, match=r"a\.wav") as caught:
        open_audio(tmp_path / "a.wav")
    assert "\n" not in str(caught.value)


def test_no_channels(tmp_path: Path) -> None:
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, RATE, 0, 2, 16)
    body = b"WAVE" + form + b"data" + struct.pack("<I", 2000) + bytes(2000)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    with pytest.raises(InputError, match=r"a\.wav"):
        open_audio(tmp_path / "a.wav")


class Packets:
    """A container of which packets decode to frames or fail."""

    streams = (None,)

    def __init__(self, *results: Exception | av.AudioFrame) -> None:
        self._results = results

    def demux(self, stream: None) -> Iterable["Packets"]:
        for result in self._results:
            self._now = result
            yield self

    def decode(self) -> list[av.AudioFrame]:
        if isinstance(self._now, Exception):
            raise self._now
        return [self._now]


@pytest.mark.parametrize(
    "error",
    [
        av.error.PatchWelcomeError,
        av.error.ArgumentError,
        av.error.ExternalError,
        av.error.UndefinedError,
        av.error.DecoderNotFoundError,
        av.error.InvalidDataError,
    ],
)
def test_a_packet_that_fails_in_any_way_is_damage(error: type[Exception]) -> None:
    frame = av.AudioFrame.from_ndarray(np.ones((1, 160), np.int16), format="s16", layout="mono")
    frame.sample_rate = RATE
    damage, checks = Damage(), []
    broken = Packets(frame, error(1, "broken"), NotImplementedError(), frame)
    frames = decoded_frames(broken, 0, damage, lambda: checks.append(1))  # type: ignore[arg-type]
    pieces = [piece for _, piece in stamped_pieces(frames, damage)]
    assert torch.cat(pieces, 1).shape == (1, 320)
    assert damage.packets == 2
    assert len(checks) == 5


def test_streams_that_appear_midway_are_passed_over() -> None:
    frame = av.AudioFrame.from_ndarray(np.ones((1, 160), np.int16), format="s16", layout="mono")
    frame.sample_rate = RATE

    class Growing(Packets):
        left = 2

        def demux(self, stream: None) -> Iterable[Packets]:
            while self.left:
                self.left -= 1
                self._now = frame
                yield self
                raise IndexError("list index out of range")

    damage = Damage()
    frames = list(decoded_frames(Growing(), 0, damage, lambda: None))  # type: ignore[arg-type]
    assert len(frames) == 2
    assert not damage.packets
