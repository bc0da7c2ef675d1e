"""The sound of a written film: rate, channels, length and moment as they were given, one clock with the picture."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.media.audio import AudioSource, audio_source, load_audio, open_audio
from talkface_core.media.timebase import as_rate
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter


def sound(samples: int, rate: int = 16000, channels: int = 1) -> AudioSource:
    t = torch.arange(samples) / rate
    waveform = torch.stack([0.4 * torch.sin(6.283 * 200 * (c + 1) * t) for c in range(channels)])
    return audio_source({"waveform": waveform[None], "sample_rate": rate})


def black(n: int) -> np.ndarray:
    return np.zeros((n, 16, 16, 3), np.uint8)


class Counted(AudioSource):
    """Silence that notes how much of it was asked for."""

    sample_rate, channels, name = 8000, 1, "counted.wav"

    def __init__(self, seconds: int) -> None:
        self.seconds, self.taken = seconds, 0

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        while self.taken < self.seconds:
            self.taken += 1
            yield torch.zeros(1, 8000)

    def num_samples(self) -> int:
        return 8000 * self.seconds


AAC = [
    (8000, 1),
    (16000, 1),
    (16000, 2),
    (16000, 6),
    (22050, 1),
    (44100, 2),
    (48000, 6),
    (48000, 8),
    (96000, 1),
    (7350, 1),
]
FLAC = [
    (10000, 1),
    (10000, 2),
    (44101, 6),
    (192000, 1),
    (65537, 1),
    (5512, 4),
    (16001, 3),
    (11024, 5),
    (7919, 7),
    (9600, 8),
]


@pytest.mark.parametrize(("rate", "channels"), AAC + FLAC)
def test_sound_keeps_rate_channels_length_and_moment(rate: int, channels: int, tmp_path: Path) -> None:
    samples, click = rate // 2 + 123, rate // 3
    waveform = torch.zeros(1, channels, samples)
    waveform[..., click], waveform[..., click + 1] = 0.8, -0.8
    with VideoWriter(
        tmp_path / "a.mp4", 16, 16, 25, audio_source({"waveform": waveform, "sample_rate": rate})
    ) as writer:
        writer.write(black(3))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == ("aac" if (rate, channels) in AAC else "flac")
        assert (stream.start_time, stream.duration * stream.time_base) == (0, Fraction(samples, rate))
    back = load_audio(tmp_path / "a.mp4")
    assert back["sample_rate"] == rate
    assert back["waveform"].shape == waveform.shape
    loud = 0 if channels < 6 else 1  # the low-frequency channel of a surround layout carries no click
    assert abs(back["waveform"][0, loud].abs().argmax().item() - click) <= rate / 1000
    if (rate, channels) in FLAC:
        assert (back["waveform"] - waveform).abs().max() <= 2**-23


def surround(path: Path, layout: str, rate: int) -> Path:
    """A wav file of that layout in which each channel has a deep tone of its own: 40, 60, 80 Hz and so on."""
    channels = len(av.AudioLayout(layout).channels)
    wave = 0.3 * np.sin(2 * np.pi * (40 + 20 * np.arange(channels))[:, None] * np.arange(rate) / rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(wave.T.astype(np.float32).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize(
    ("layout", "rate", "kept"),
    [
        *((layout, 48000, layout) for layout in ("2.1", "3.0", "3.0(back)", "4.0", "quad", "5.0", "5.1", "7.1")),
        ("5.1(side)", 48000, "5.1"),
        ("quad(side)", 48000, "quad"),
        ("quad", 50000, "quad"),
        ("3.0", 50000, "3.0"),
        ("5.1(side)", 50000, "5.1(side)"),  # FFmpeg's name for FLAC's six channels
    ],
)
def test_each_channel_stays_in_its_place(
    layout: str, rate: int, kept: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = open_audio(surround(tmp_path / "a.wav", layout, rate))
    assert source.layout == layout
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, source) as writer:
        writer.write(black(25))
    back = open_audio(tmp_path / "a.mp4")
    assert back.layout == kept
    spectrum = np.abs(np.fft.rfft(next(back.blocks()).numpy()))
    assert spectrum.argmax(1).tolist() == [40 + 20 * channel for channel in range(back.channels)]
    assert not caplog.records


def test_a_layout_that_mp4_cannot_carry_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = open_audio(surround(tmp_path / "a.wav", "2.1", 50000))
    for _ in range(2):
        with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, source) as writer:
            writer.write(black(1))
    assert [r.getMessage() for r in caplog.records] == [
        "a.wav has the channels '2.1', which mp4 cannot carry at 50000 Hz: written as '3.0'"
    ]


def test_integer_sound_survives_flac_bit_for_bit(tmp_path: Path) -> None:
    waveform = torch.randint(
        -(2**15), 2**15, (1, 2, 3000), generator=torch.Generator().manual_seed(0), dtype=torch.int16
    )
    waveform[0, 0, :2] = torch.tensor([-(2**15), 2**15 - 1])
    with VideoWriter(
        tmp_path / "a.mp4", 16, 16, 25, audio_source({"waveform": waveform, "sample_rate": 9000})
    ) as writer:
        writer.write(black(1))
    assert torch.equal((load_audio(tmp_path / "a.mp4")["waveform"] * 2**15).to(torch.int16), waveform)


def test_aac_is_a_faithful_copy(tmp_path: Path) -> None:
    source = sound(16000, channels=2)
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, source) as writer:
        writer.write(black(25))
    given, back = next(source.blocks()), load_audio(tmp_path / "a.mp4")["waveform"][0]
    error = (given - back)[:, 2000:14000]  # without the tone's sudden begin and end
    assert error.pow(2).mean() < 1e-5 * given.pow(2).mean()


@pytest.mark.parametrize("samples", [1, 2, 1000, 1024, 1025])
@pytest.mark.parametrize("rate", [16000, 9999])
def test_the_shortest_sounds(samples: int, rate: int, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, sound(samples, rate)) as writer:
        writer.write(black(1))
    assert open_audio(tmp_path / "a.mp4").num_samples() == samples


@pytest.mark.parametrize(("rate", "fps"), [(8000, 29.97), (44100, 25), (10000, 23.976)])
def test_a_flash_and_its_click_meet(rate: int, fps: float, tmp_path: Path) -> None:
    """Frame k turns white at k / fps and a click sounds then: the file's own clock puts both within a millisecond."""
    flash, count = 37, 60
    moment = flash / as_rate(fps)
    frames = np.zeros((count, 16, 16, 3), np.uint8)
    frames[flash] = 255
    waveform = torch.zeros(1, 1, int(count / as_rate(fps) * rate))
    waveform[..., round(moment * rate)] = 0.9
    with VideoWriter(
        tmp_path / "a.mp4", 16, 16, fps, audio_source({"waveform": waveform, "sample_rate": rate})
    ) as writer:
        writer.write(frames)
    with av.open(str(tmp_path / "a.mp4")) as container:
        white = max(container.decode(video=0), key=lambda frame: frame.to_ndarray(format="gray").mean())
        flash_time = Fraction(white.pts) * white.time_base
    click_time, loudest = Fraction(0), 0.0
    with av.open(str(tmp_path / "a.mp4")) as container:
        for frame in container.decode(audio=0):
            level = np.abs(frame.to_ndarray()[0].astype(float))
            if level.max() > loudest:
                loudest, click_time = (
                    level.max(),
                    Fraction(frame.pts) * frame.time_base + Fraction(int(level.argmax()), rate),
                )
    assert flash_time == moment
    assert abs(click_time - flash_time) < Fraction(1, 1000)


@pytest.mark.parametrize("count", [2, 25, 80])
def test_sound_is_written_whole_whatever_the_picture(count: int, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, sound(16000)) as writer:
        writer.write(black(count))
    assert open_audio(tmp_path / "a.mp4").num_samples() == 16000
    assert sum(map(len, VideoReader(tmp_path / "a.mp4").chunks())) == count


def test_sound_is_taken_as_the_frames_go_out_and_lies_beside_them(tmp_path: Path) -> None:
    source = Counted(60)
    with VideoWriter(tmp_path / "a.mp4", 16, 16, 25, source) as writer:
        for second in range(1, 61):
            writer.write(np.zeros((25, 16, 16, 3), np.uint8))
            assert second <= source.taken <= second + 1
    with av.open(str(tmp_path / "a.mp4")) as container:
        clock = {"audio": 0.0, "video": 0.0}
        for packet in container.demux():
            if packet.dts is not None:
                clock[packet.stream.type] = float(packet.dts * packet.time_base)
                assert abs(clock["audio"] - clock["video"]) < 2.5
    assert clock["audio"] > 59
