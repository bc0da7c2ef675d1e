"""Sound that comes: at the speed of its own time, out of a pipe in any pieces, and silence where a pipe gives none."""

import os
import threading
import time
import wave
from io import BytesIO

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.media.audio import audio_source
from talkface_core.media.live_sound import LiveSound, played
from talkface_core.media.piped_sound import piped_sound

RAMP = (np.arange(4000) % 200 * 100).astype("<i2")


@pytest.fixture
def pipe():
    """pipe(*pieces): a descriptor out of which they come, one after the other; a number is a pause in seconds."""
    readers = []

    def start(*pieces):
        reader, writer = os.pipe()
        readers.append(reader)

        def write():
            for piece in pieces:
                if isinstance(piece, bytes):
                    os.write(writer, piece)
                else:
                    time.sleep(piece)
            os.close(writer)

        threading.Thread(target=write, daemon=True).start()
        return reader

    yield start
    time.sleep(0.01)
    for reader in readers:
        os.close(reader)


def wav(samples: np.ndarray, rate: int = 8000, channels: int = 1) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def whole(live: LiveSound) -> np.ndarray:
    return (torch.cat(list(live.blocks(0.01)), dim=1) * 2**15).numpy().astype(int)


def test_raw_sound_in_pieces_that_cut_samples_in_half(pipe):
    data = RAMP.tobytes()
    live = piped_sound(pipe(data[:5], data[5:6], data[6:3001], data[3001:], b"x"))
    assert (live.sample_rate, live.channels) == (16000, 1)
    assert np.array_equal(whole(live)[0], RAMP)
    assert piped_sound(pipe(data), 8000).sample_rate == 8000


def test_wav_with_and_without_a_known_length(pipe):
    stereo = np.stack([RAMP, -RAMP], 1).reshape(-1)
    data = wav(stereo, 8000, 2)
    endless = data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:]
    for given in (data, endless):
        live = piped_sound(pipe(given[:3], given[3:50], given[50:]))
        assert (live.sample_rate, live.channels) == (8000, 2)
        heard = whole(live)
        assert np.array_equal(heard[0], RAMP)
        assert np.array_equal(heard[1], -RAMP)


@pytest.mark.parametrize(
    ("data", "rate", "message"),
    [
        (b"fLaC" + bytes(40), None, "standard input is FLAC: give WAV"),
        (b"\0\0\0 ftypisom" + bytes(40), None, "standard input is MP4: give WAV"),
        (b"OggS" + bytes(40), None, "is Ogg"),
        (b"RIFF\0\0\0\0WAVEnothing of the kind" + bytes(80), None, "its header is broken"),
        (b"", 100, "rate of 100 Hz"),
        (b"", 500_000, "rate of 500000 Hz"),
    ],
)
def test_other_sounds_are_told(pipe, data, rate, message):
    with pytest.raises(InputError, match=message):
        piped_sound(pipe(data), rate)


def test_nan_is_told_where_it_is_read(pipe):
    data = wav(np.frombuffer(np.array([0.1, np.nan] * 4000, "<f4").tobytes(), "<i2"), 8000)
    floats = data[:20] + b"\x03\0" + data[22:32] + b"\x04\0\x20\0" + data[36:]
    with pytest.raises(InputError, match="NaN"):
        whole(piped_sound(pipe(floats)))


def test_silence_takes_the_place_of_what_does_not_come(pipe):
    began = time.monotonic()
    heard = whole(piped_sound(pipe(RAMP[:160].tobytes(), 0.7, RAMP[160:320].tobytes()), 16000))[0]
    took = time.monotonic() - began
    assert np.array_equal(heard[:160], RAMP[:160])
    assert np.array_equal(heard[-160:], RAMP[160:320])
    assert not heard[160:-160].any()
    assert 0.5 < len(heard) / 16000 <= took + 0.05


def test_a_file_comes_at_the_speed_of_its_time():
    source = audio_source({"waveform": torch.linspace(-1, 1, 8000)[None, None], "sample_rate": 16000})
    live = LiveSound(played(source), 16000, 1, "file")
    began = time.monotonic()
    moments = [time.monotonic() - began for _ in live.blocks(0.1)]
    assert 0.45 < moments[-1] < 3
    assert moments[0] >= 0.09
    assert live.samples == 8000
    assert torch.equal(torch.cat(list(live.track.blocks()), dim=1)[0], torch.linspace(-1, 1, 8000))
    assert live.came(0.25) - live.came(0.05) == pytest.approx(0.2, abs=0.021)


def test_how_late_work_is():
    now = time.monotonic()
    live = LiveSound([(torch.zeros(1, 1600), now - 5.0), (torch.zeros(1, 16000 * 20), now - 1.0)], 16000, 1, "burst")
    list(live.blocks())
    assert live.behind(0.1) == pytest.approx(5.0, abs=0.5)
    assert live.behind(2.0) == pytest.approx(1.0, abs=0.5)  # came then, though its own time was before
    assert live.behind(20.0) < 0  # came long before its own time


def test_what_came_long_ago_is_forgotten():
    chunk = torch.zeros(1, 100)
    live = LiveSound(((chunk, float(n)) for n in range(3000)), 1000, 1, "long")
    for _ in live.blocks():
        live.kept.clear()
    assert len(live._totals) < 1000
    assert live.came(299.95) == 2999.0
