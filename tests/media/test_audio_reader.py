"""Files: formats, exact lengths, exact trims, and every way in which a file can be wrong."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch

from talkface_core.errors import InputError
from talkface_core.media.audio import load_audio, open_audio

Encode = Callable[..., Path]
Tone = Callable[..., np.ndarray]

LOSSLESS = [
    ("wav", "PCM_U8", 2 / 128),
    ("wav", "PCM_16", 2 / 2**15),
    ("wav", "PCM_24", 2 / 2**23),
    ("wav", "PCM_32", 2 / 2**23),
    ("wav", "FLOAT", 0),
    ("wav", "DOUBLE", 0),
    ("flac", "PCM_16", 2 / 2**15),
    ("flac", "PCM_24", 2 / 2**23),
    ("aiff", "PCM_16", 2 / 2**15),
]


@pytest.mark.parametrize(("ext", "subtype", "error"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_files_give_their_samples(
    ext: str, subtype: str, error: float, channels: int, tmp_path: Path, tone: Tone
) -> None:
    x = tone(11025, 5001, channels)
    soundfile.write(tmp_path / f"a.{ext}", x.T, 11025, subtype=subtype)
    audio = load_audio(tmp_path / f"a.{ext}")
    assert audio["sample_rate"] == 11025
    assert audio["waveform"].dtype == torch.float32
    assert audio["waveform"].shape == (1, channels, 5001)
    assert np.abs(audio["waveform"][0].numpy() - x).max() <= error


@pytest.mark.parametrize(
    ("name", "codec", "rate", "slack"),
    [
        ("a.mp3", "libmp3lame", 44100, 0),
        ("a.ogg", "libopus", 48000, 0),
        ("a.m4a", "aac", 44100, 45),
        ("a.mp4", "aac", 8000, 8),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_files_keep_length_and_moment(
    name: str, codec: str, rate: int, slack: int, channels: int, encode: Encode
) -> None:
    """The codec's delay and padding are gone; an mp4 header counts in milliseconds, hence the slack."""
    n, click = 2 * rate + 333, rate + 17
    x = np.zeros((channels, n), np.float32)
    x[:, click : click + 2] = 0.9, -0.9
    audio = load_audio(encode(name, x, rate, codec))
    assert audio["sample_rate"] == rate
    assert abs(audio["waveform"].shape[2] - n) <= slack
    assert audio["waveform"].shape[1] == channels
    assert abs(audio["waveform"][0, 0].abs().argmax().item() - click) <= rate / 1000


def test_sound_of_a_video_is_read(tmp_path: Path, tone: Tone) -> None:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, width=16, height=16, pix_fmt="yuv420p")
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for packet in [*video.encode(av.VideoFrame(16, 16, "yuv420p")), *video.encode(None)]:
            container.mux(packet)
        frame = av.AudioFrame.from_ndarray((tone(8000, 4000) * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(sound.encode(frame))
    assert np.abs(load_audio(path)["waveform"][0].numpy() - tone(8000, 4000)).max() < 1e-4


@pytest.mark.parametrize(("start", "duration"), [(0, 0.5), (0.25, None), (0.333, 0.1), (0.1234567, 99), (0.0, 1e-9)])
@pytest.mark.parametrize("kind", ["wav", "mp3"])
def test_trims_are_exact_to_the_sample(kind: str, start: float, duration: float | None, encode: Encode) -> None:
    rate = 44100
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (1, rate)).astype(np.float32)
    path = encode(f"a.{kind}", x, rate, {"wav": "pcm_f32le", "mp3": "libmp3lame"}[kind])
    whole = load_audio(path)["waveform"]
    first = round(Fraction(start) * rate)
    last = None if duration is None else first + max(1, round(Fraction(duration) * rate))
    source = open_audio(path, start, duration)
    assert torch.equal(load_audio(path, start, duration)["waveform"], whole[..., first:last])
    assert source.num_samples() == whole[..., first:last].shape[-1]


def test_blocks_are_even_and_can_be_read_again(tmp_path: Path, tone: Tone) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000, 20100).T, 8000)
    source = open_audio(tmp_path / "a.wav")
    assert [block.shape[1] for block in source.blocks(0.5)] == [4000] * 5 + [100]
    halfway = source.blocks(0.5)
    next(halfway)
    assert torch.equal(next(source.blocks(0.5)), next(source.blocks(0.5)))
    assert source.num_samples() == 20100
    assert (source.path, source.name) == (tmp_path / "a.wav", "a.wav")


def test_rate_that_changes_midway_keeps_the_first(tmp_path: Path, tone: Tone, encode: Encode) -> None:
    """As of two mp3 files joined end to end. The first is longer than what FFmpeg probes before it decodes."""
    first = encode("1.mp3", tone(44100, 8 * 44100, 2), 44100, "libmp3lame").read_bytes()
    second = encode("2.mp3", tone(22050, 22050, 1), 22050, "libmp3lame").read_bytes()
    (tmp_path / "joined.mp3").write_bytes(first + second)
    audio = load_audio(tmp_path / "joined.mp3")
    assert audio["sample_rate"] == 44100
    assert audio["waveform"].shape[1] == 2
    assert abs(audio["waveform"].shape[2] - 9 * 44100) < 6000
    second_half = audio["waveform"][0, :, -22050:-8000]  # 220 Hz in both channels, though it was mono at 22050 Hz
    crossings = (second_half[:, 1:] * second_half[:, :-1] < 0).sum(dim=1)
    assert crossings.tolist() == pytest.approx([2 * 220 * 14050 / 44100] * 2, abs=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": -1}, "start of -1"),
        ({"start": float("nan")}, "start of nan"),
        ({"start": 1.0}, r"start of 1 s lies after the end of a\.wav, which is 1\.000 s long"),
        ({"start": 100}, "after the end"),
        ({"duration": 0}, "duration of 0"),
        ({"duration": -2}, "duration of -2"),
        ({"duration": float("inf")}, "duration of inf"),
    ],
)
def test_impossible_trims_are_refused(options: dict, message: str, tmp_path: Path, tone: Tone) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000, 8000).T, 8000)
    with pytest.raises(InputError, match=message):
        open_audio(tmp_path / "a.wav", **options)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.wav does not exist"):
        open_audio(tmp_path / "nowhere.wav")
    with pytest.raises(InputError, match="is a folder"):
        open_audio(tmp_path)


@pytest.mark.parametrize("ext", ["wav", "flac", "mp3", "m4a", "ogg", "txt"])
@pytest.mark.parametrize("content", [b"", b"These are words, not sound.\n" * 40], ids=["empty", "text"])
def test_files_that_are_no_sound(ext: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / f"a.{ext}").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.{ext} (cannot be read|holds no sound|has no audio)") as caught:
        open_audio(tmp_path / f"a.{ext}")
    assert "\n" not in str(caught.value)


def test_header_without_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), 8000)
    with pytest.raises(InputError, match="no sound"):
        open_audio(tmp_path / "a.wav")


def test_video_without_sound(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=25, width=16, height=16, pix_fmt="yuv420p")
        for packet in [*video.encode(av.VideoFrame(16, 16, "yuv420p")), *video.encode(None)]:
            container.mux(packet)
    with pytest.raises(InputError, match=r"a\.mp4 has no audio stream \(found: video\)"):
        open_audio(tmp_path / "a.mp4")


def test_nan_in_a_float_file(tmp_path: Path) -> None:
    x = np.zeros(16000, np.float32)
    x[12000] = np.nan
    soundfile.write(tmp_path / "a.wav", x, 8000, subtype="FLOAT")
    with pytest.raises(InputError, match=r"a\.wav holds 1 samples that are NaN"):
        list(open_audio(tmp_path / "a.wav").blocks())


@pytest.mark.parametrize(
    ("name", "codec", "message"),
    [
        ("a.mp3", "libmp3lame", None),
        ("a.ogg", "libopus", None),
        ("a.flac", "flac", "cut off|damaged"),
        ("a.wav", "pcm_s16le", None),
    ],
)
def test_cut_off_file_gives_what_is_there(
    name: str, codec: str, message: str | None, encode: Encode, tone: Tone, caplog: pytest.LogCaptureFixture
) -> None:
    rate = 48000
    path = encode(name, tone(rate, 2 * rate), rate, codec)
    whole = load_audio(path)["waveform"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    part = load_audio(path)["waveform"]
    assert 0.2 < part.shape[2] / whole.shape[2] < 0.8
    assert torch.equal(part[..., : part.shape[2] // 2], whole[..., : part.shape[2] // 2])
    if message:
        assert len(caplog.records) == 1
        assert caplog.records[0].getMessage().startswith(name)


def test_cut_off_mp4_is_refused(encode: Encode, tone: Tone) -> None:
    """Its index comes last, so nothing of it can be read."""
    path = encode("a.m4a", tone(16000, 32000), 16000, "aac")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"a\.m4a cannot be read as audio .*cut off"):
        open_audio(path)


def test_damaged_packets_are_left_out_with_one_warning(
    encode: Encode, tone: Tone, caplog: pytest.LogCaptureFixture
) -> None:
    path = encode("a.mp3", tone(44100, 3 * 44100), 44100, "libmp3lame")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(data)
    source = open_audio(path)
    assert 2.5 * 44100 < source.num_samples() < 3.1 * 44100
    list(source.blocks())
    assert [record.getMessage() for record in caplog.records] == [
        f"a.mp3 is damaged: {n} packets did not decode and were left out"
        for n in [int(caplog.records[0].getMessage().split()[3])]
    ]


@pytest.mark.parametrize("start", [0.0, 20.0])
def test_reading_can_be_stopped_from_outside(start: float, tmp_path: Path, tone: Tone) -> None:
    """Also while what lies before the start is passed over, in the constructor already."""
    soundfile.write(tmp_path / "long.flac", tone(8000, 30 * 8000).T, 8000)
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(open_audio(tmp_path / "long.flac", start, check=check).blocks())
    assert calls == 6
