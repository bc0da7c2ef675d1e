"""Sound on the clock of its file: late and early beginnings, gaps, overlaps, jitter, drift, clocks that jump."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.media.audio import open_audio
from talkface_core.media.audio_clock import on_clock
from talkface_core.media.audio_reader import FileAudio

RATE = 8000
FADE = 40  # samples


def recorded(path: Path, pieces: list[tuple[float, np.ndarray]], film: float | None = None) -> Path:
    """Lossless pieces [n] of sound at the given seconds of the clock, beside a film that begins at `film`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        if film is not None:
            picture = container.add_stream("mpeg4", rate=25, width=16, height=16, pix_fmt="yuv420p")
            for k in range(25):
                frame = av.VideoFrame(16, 16, "yuv420p")
                frame.pts, frame.time_base = round(film * 25) + k, Fraction(1, 25)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        for seconds, samples in pieces:
            frame = av.AudioFrame.from_ndarray((samples * 2**15).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(seconds * RATE), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def ramp(n: int) -> np.ndarray:
    """Samples that are all different, and exact in 16 bits."""
    return (np.arange(1, n + 1) / 2**15).astype(np.float32)


def samples_of(path: Path, **options: object) -> np.ndarray:
    source = open_audio(path, **options)
    wave = torch.cat(list(source.blocks(0.3)), 1)[0].numpy()
    assert source.num_samples() == len(wave)
    return wave


@pytest.mark.parametrize("kind", ["mkv", "mov"])
def test_a_late_beginning_is_silence(kind: str, tmp_path: Path) -> None:
    path = recorded(tmp_path / f"a.{kind}", [(0.5, ramp(4000))], film=0.0)
    assert np.array_equal(samples_of(path), np.concatenate([np.zeros(4000, np.float32), ramp(4000)]))
    assert np.array_equal(samples_of(path, start=0.25, duration=0.5)[2000:], ramp(2000))


def encoded(path: Path, codec: str, rate: int, late: int) -> Path:
    """A film of 2 s with 1.5 s of sound that begin after `late` samples, and a click 0.25 s later."""
    wave = np.zeros(rate * 3 // 2, np.float32)
    wave[rate // 4 : rate // 4 + 2] = 0.9, -0.9
    packets = []
    with av.open(str(path), "w") as container:
        picture = container.add_stream("flv" if path.suffix == ".flv" else "mpeg4", rate=25, width=16, height=16)
        picture.pix_fmt = "yuv420p"
        stream = container.add_stream(codec, rate=rate, layout="mono")
        stream.codec_context.open()
        for k in range(50):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            packets += picture.encode(frame)
        size = stream.codec_context.frame_size
        for at in range(0, len(wave), size):
            frame = av.AudioFrame.from_ndarray(wave[None, at : at + size], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, late + at, Fraction(1, rate)
            packets += stream.encode(frame)
        packets += [*picture.encode(None), *stream.encode(None)]
        written = [packet for packet in packets if packet.dts is not None]
        container.mux(sorted(written, key=lambda packet: packet.dts * packet.time_base))
    return path


@pytest.mark.parametrize("late", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["mp4", "mkv", "flv", "mov"])
def test_aac_keeps_length_and_place(kind: str, late: float, tmp_path: Path) -> None:
    """Delayed by an edit list or by stamps; what its encoder puts before the first sample is not heard."""
    rate = 44100
    got = samples_of(encoded(tmp_path / f"a.{kind}", "aac", rate, round(late * rate)))
    assert abs(np.abs(got).argmax() / rate - late - 0.25) <= 0.002
    assert abs(len(got) / rate - late - 1.5) <= 0.025  # its last frame is padded


def test_a_film_that_begins_late_leaves_the_sound_as_it_is(tmp_path: Path) -> None:
    assert np.array_equal(samples_of(recorded(tmp_path / "a.mkv", [(0.0, ramp(4000))], film=0.4)), ramp(4000))


def test_sound_alone_begins_with_its_first_sample(tmp_path: Path) -> None:
    assert np.array_equal(samples_of(recorded(tmp_path / "a.mkv", [(1.4, ramp(4000))])), ramp(4000))


def test_a_transport_stream_begins_with_its_film(tmp_path: Path, tone: Callable[..., np.ndarray]) -> None:
    """Its clock starts at 1.4 s, which is no silence."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg2video", rate=25, width=16, height=16, pix_fmt="yuv420p")
        stream = container.add_stream("mp2", rate=48000, layout="mono")
        stream.codec_context.open()
        for k in range(50):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(picture.encode(frame))
        wave = (tone(48000, 1152 * 50) * 2**15).astype(np.int16)
        for at in range(0, wave.shape[1], 1152):
            frame = av.AudioFrame.from_ndarray(wave[:, at : at + 1152], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, 12000 + at, Fraction(1, 48000)
            container.mux(stream.encode(frame))
        container.mux([*picture.encode(None), *stream.encode(None)])
    got = np.abs(samples_of(path))
    assert np.argmax(got > 0.1) == pytest.approx(12000, abs=600)  # the encoder's delay is not told
    assert len(got) == pytest.approx(12000 + wave.shape[1], abs=1200)


def test_an_origin_of_ones_own(tmp_path: Path) -> None:
    path = recorded(tmp_path / "a.mkv", [(0.5, ramp(4000))])
    late = np.concatenate([np.zeros(4000, np.float32), ramp(4000)])
    assert np.array_equal(samples_of(path, origin=Fraction(0)), late)
    assert np.array_equal(samples_of(path, origin=Fraction(3, 4)), ramp(4000)[2000:])
    with pytest.raises(InputError, match="after the end"):
        FileAudio(path, origin=Fraction(2))


def test_gaps_are_silence_between_short_fades_and_what_overlaps_is_left_out(tmp_path: Path) -> None:
    level = np.full(800, 0.5, np.float32)
    pieces = [(0.0, level), (0.1, level), (0.5, level), (0.55, level)]
    got = samples_of(recorded(tmp_path / "a.mkv", pieces))
    assert len(got) == 5200
    quiet = np.r_[1600:4000]
    assert not got[quiet].any()
    faded = np.r_[1600 - FADE : 1600, 4000 : 4000 + FADE]
    assert np.array_equal(got[np.setdiff1d(np.arange(5200), [*quiet, *faded])], np.full(5200 - 2400 - 2 * FADE, 0.5))
    assert np.abs(np.diff(got)).max() < 0.5 / FADE


def placed(pieces: list[tuple[Fraction | None, Tensor]], warnings: list[str] | None = None) -> Tensor:
    stamped = [(time if time is None else (time.numerator, Fraction(1, time.denominator)), p) for time, p in pieces]
    return torch.cat(list(on_clock(stamped, RATE, Fraction(0), (warnings if warnings is not None else []).append)), 1)


def cut(wave: Tensor, size: int, stamp: Callable[[int], float]) -> list[tuple[Fraction | None, Tensor]]:
    """A wave [n] in pieces, the k-th of which is stamped `stamp(k)` seconds."""
    return [(Fraction(stamp(k)), part[None]) for k, part in enumerate(wave.split(size))]


@pytest.fixture
def hum() -> Tensor:
    return 0.5 * torch.sin(torch.arange(10 * RATE) * (2 * torch.pi * 200 / RATE))


@pytest.mark.parametrize("step", [0.001, 0.01, 0.02])
def test_a_coarse_clock_leaves_no_cracks(step: float, hum: Tensor) -> None:
    pieces = cut(hum, 333, lambda k: round(k * 333 / RATE / step) * step)
    assert torch.equal(placed(pieces)[0], hum)


def test_a_single_stamp_that_is_off_is_not_believed(hum: Tensor) -> None:
    for wrong in (-0.2, 0.2):
        pieces = cut(hum, 160, lambda k, wrong=wrong: k * 0.02 + wrong * (k == 100))
        assert torch.equal(placed(pieces)[0], hum)


def test_lost_packets_one_by_one_leave_sound_in_its_place(hum: Tensor) -> None:
    """Of packets of 20 ms every tenth is lost; nothing is ever off by more than 40 ms, and the end fits."""
    pieces = [piece for k, piece in enumerate(cut(hum, 160, lambda k: k * 0.02)) if k % 10 != 5]
    marked = [(stamp, piece + 2 * (1 + k)) for k, (stamp, piece) in enumerate(pieces)]
    out = placed(marked)[0]
    assert abs(len(out) - len(hum)) <= 0.04 * RATE
    for k, (stamp, _) in enumerate(marked):
        position = (out > 2 * k + 1).nonzero()[0].item()
        assert abs(position / RATE - float(stamp)) <= 0.041


@pytest.mark.parametrize("speed", [0.999, 1.001])
def test_a_clock_that_drifts_is_followed_without_clicks(speed: float) -> None:
    wave = 0.5 * torch.sin(torch.arange(100 * RATE) * (2 * torch.pi * 200 / RATE))
    out = placed(cut(wave, 160, lambda k: k * 0.02 * speed))[0]
    assert abs(len(out) / RATE - 100 * speed) <= 0.031
    steepest = 0.5 * 2 * torch.pi * 200 / RATE
    assert out.diff().abs().max() < 1.1 * steepest
    assert out.view(-1)[: len(out) // 160 * 160].view(-1, 160).abs().amax(1).min() > 0.49  # no hush, no fade


@pytest.mark.parametrize("jump", [-9.0, -1.5, 4000.0, 95443.7])
def test_recordings_joined_end_to_end_are_played_one_after_the_other(jump: float, hum: Tensor) -> None:
    warnings: list[str] = []
    pieces = cut(hum, 160, lambda k: k * 0.02 + jump * (k >= 450))
    assert torch.equal(placed(pieces, warnings)[0], hum)
    assert len(warnings) == 1
    assert f"jumps by {jump:.1f} s" in warnings[0]


def test_overlaps_pass_over_without_a_click(hum: Tensor) -> None:
    """The second recording repeats half a second of the first, in small pieces."""
    first = [(Fraction(k, 50), part[None]) for k, part in enumerate(hum[: 2 * RATE].split(160))]
    second = [(Fraction(3, 2) + Fraction(k, 50), -part[None]) for k, part in enumerate(hum[: 2 * RATE].split(160))]
    out = placed([*first, *second])[0]
    assert len(out) == 3.5 * RATE
    assert torch.equal(out[: 2 * RATE - FADE], hum[: 2 * RATE - FADE])
    assert torch.equal(out[2 * RATE :], -hum[RATE // 2 : 2 * RATE])
    assert out.diff().abs().max() < 0.12


def test_pieces_without_stamps_follow_each_other(hum: Tensor) -> None:
    pieces = [(None if k % 3 else stamp, part) for k, (stamp, part) in enumerate(cut(hum, 160, lambda k: k * 0.02))]
    assert torch.equal(placed(pieces)[0], hum)
    assert torch.equal(placed([(None, part) for _, part in pieces])[0], hum)


def test_long_silence_comes_in_small_pieces() -> None:
    piece = torch.ones(1, 160)
    blocks = list(on_clock([((0, Fraction(1)), piece), ((3000, Fraction(1)), piece)], RATE, Fraction(0), str))
    assert max(block.shape[1] for block in blocks) <= RATE
    assert sum(block.shape[1] for block in blocks) == 3000 * RATE + 160
