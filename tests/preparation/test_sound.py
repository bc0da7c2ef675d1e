"""Stretches of a film's sound; levels; FLAC."""

import numpy as np
import pytest
import soundfile

from talkface_core.preparation.flac import write_flac
from talkface_core.preparation.sound import SampleReader, loudness


def test_a_reader_gives_stretches_and_silence_after_the_end():
    wave = np.arange(1, 101, dtype=np.float32)
    reader = SampleReader(np.split(wave, [7, 30, 31, 60]))
    assert reader.take(3, 10).tolist() == list(range(4, 11))
    assert reader.take(5, 8).tolist() == [6, 7, 8]
    assert reader.take(50, 65).tolist() == list(range(51, 66))
    assert reader.take_available(90, 110)[1] == 10
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
