"""Sound on the clock of the pictures: late and early beginnings, gaps, rates; stretches of it; levels; FLAC."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from talkface_core.errors import InputError
from talkface_core.footage.flac import write_flac
from talkface_core.footage.sound import ClockedSound, SampleReader, loudness, mono_blocks
from talkface_core.media.video import VideoWriter

RATE = 8000


def recorded(path: Path, pieces: list[tuple[float, np.ndarray]], channels: int = 1) -> Path:
    """A Matroska file of lossless pieces [n] of sound that begin at the given seconds of its clock."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout={1: "mono", 2: "stereo"}[channels])
        for seconds, samples in pieces:
            packed = np.repeat((samples * 2**15).astype(np.int16), channels)[None]
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=stream.layout.name)
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(seconds * RATE), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def heard(source: ClockedSound) -> np.ndarray:
    return np.concatenate([block[0].numpy() for block in source.blocks()])


def ramp(n: int) -> np.ndarray:
    """Samples that are all different, and exact in 16 bits."""
    return (np.arange(1, n + 1) / 2**15).astype(np.float32)


def test_sound_keeps_its_place_on_the_clock(tmp_path):
    path = recorded(tmp_path / "a.mkv", [(0.5, ramp(4000))])
    late = heard(ClockedSound(path))
    assert np.array_equal(late, np.concatenate([np.zeros(4000, np.float32), ramp(4000)]))
    assert np.array_equal(heard(ClockedSound(path, Fraction(1, 2))), ramp(4000))
    assert np.array_equal(heard(ClockedSound(path, Fraction(3, 4))), ramp(4000)[2000:])
    assert ClockedSound(path, Fraction(3, 4)).num_samples() == 2000


def test_gaps_are_silence_and_what_overlaps_is_left_out(tmp_path):
    pieces = [(0.0, ramp(800)), (0.1, ramp(800)), (0.5, ramp(800)), (0.55, ramp(800))]
    got = heard(ClockedSound(recorded(tmp_path / "a.mkv", pieces)))
    quiet = np.zeros(4000 - 1600, np.float32)
    assert np.array_equal(got, np.concatenate([ramp(800), ramp(800), quiet, ramp(800), ramp(800)[400:]]))


def test_a_clock_in_milliseconds_leaves_no_cracks(tmp_path):
    begins = [k * 333 for k in range(12)]  # 41.625 ms apart, written as whole milliseconds
    wave = ramp(333 * 12)
    pieces = [(round(1000 * at / RATE) / 1000, wave[at : at + 333]) for at in begins]
    assert np.array_equal(heard(ClockedSound(recorded(tmp_path / "a.mkv", pieces))), wave)


def test_channels_are_mixed_and_the_rate_is_brought_to_16_khz(tmp_path):
    t = np.arange(RATE) / RATE
    path = recorded(tmp_path / "a.mkv", [(0.25, (0.5 * np.sin(2 * np.pi * 300 * t)).astype(np.float32))], channels=2)
    wave = np.concatenate(list(mono_blocks(ClockedSound(path))))
    assert len(wave) == 20000
    wanted = 0.5 * np.sin(2 * np.pi * 300 * np.arange(16000) / 16000)
    assert np.abs(wave[4200:19800] - wanted[200:15800]).max() < 0.01


def test_files_without_sound(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 32, 32, 25) as writer:
        writer.write(np.zeros((3, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match=r"a\.mp4 has no sound that decodes"):
        ClockedSound(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"words" * 50)
    with pytest.raises(InputError, match=r"b\.mp4 cannot be read"):
        ClockedSound(tmp_path / "b.mp4")


def test_a_reader_gives_stretches_and_silence_after_the_end():
    wave = np.arange(1, 101, dtype=np.float32)
    reader = SampleReader(np.split(wave, [7, 30, 31, 60]))
    assert reader.take(3, 10).tolist() == list(range(4, 11))
    assert reader.take(5, 8).tolist() == [6, 7, 8]
    assert reader.take(50, 65).tolist() == list(range(51, 66))
    assert reader.take_heard(90, 110)[1] == 10
    assert reader.take(95, 104).tolist() == [96, 97, 98, 99, 100, 0, 0, 0, 0]
    assert reader.take(500, 502).tolist() == [0, 0]
    with pytest.raises(ValueError, match="has gone by"):
        reader.take(0, 3)


def test_loudness_of_each_frame_until_the_sound_ends():
    wave = np.concatenate([np.full(640, 0.1), np.zeros(640), np.full(320, 1.0)]).astype(np.float32)
    got = loudness([wave], 5, 25)
    assert got[:3] == pytest.approx([-20, -100, -3.01], abs=0.01)
    assert np.isneginf(got[3:]).all()


def test_flac_loses_no_sample(tmp_path):
    wave = np.random.default_rng(0).integers(-(2**15), 2**15, 12345).astype(np.float32) / 2**15
    write_flac(tmp_path / "a.flac", wave, 16000)
    back, rate = soundfile.read(tmp_path / "a.flac", dtype="float32")
    assert rate == 16000
    assert np.array_equal(back, wave)
    write_flac(tmp_path / "b.flac", np.float32([2.0, -2.0, 0.0]), 16000)
    assert soundfile.read(tmp_path / "b.flac", dtype="int16")[0].tolist() == [32767, -32768, 0]
