"""Sounds to give to the host, made on the spot, and what is read back from the videos that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from numpy.typing import NDArray

from talkface_core.faces.bundled import load_bundled
from talkface_core.faces.landmarks import INNER_LIP_PAIRS, face_height

from .server import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
SILENCE = 0.6
"""Seconds of silence before the speech of `spoken`."""

Samples = NDArray[np.float32]


def write_wav(path: Path, samples: Samples, rate: int) -> Path:
    """A wav file of float samples [C, n]; they may be NaN, or none at all."""
    data = np.ascontiguousarray(samples.T, "<f4").tobytes()
    channels, size = len(samples), 4 * len(samples)
    form = np.array([3, channels], "<u2").tobytes() + np.array([rate, rate * size], "<u4").tobytes()
    form += np.array([size, 32], "<u2").tobytes()
    body = b"WAVEfmt " + np.uint32(16).tobytes() + form + b"data" + np.uint32(len(data)).tobytes() + data
    path.write_bytes(b"RIFF" + np.uint32(len(body)).tobytes() + body)
    return path


def read_sound(path: Path) -> tuple[Samples, int]:
    """Samples [C, n] and sample rate of the first sound stream, as players hear it (an encoder's delay is cut off)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", stream.layout, stream.rate)
        parts = [part.to_ndarray() for frame in container.decode(stream) for part in resampler.resample(frame)]
        parts += [part.to_ndarray() for part in resampler.resample(None)]
        return np.concatenate(parts, 1).astype(np.float32), stream.rate


def speech(rate: int = 16_000) -> Samples:
    """1.2 s of speech [n] whose true face is in the fixtures."""
    samples, own = read_sound(FIXTURES / "ada_talks.flac")
    return soxr.resample(samples[0], own, rate).astype(np.float32)


def spoken(path: Path, rate: int = 44_100) -> Path:
    """Silence, speech, silence, in stereo with the right channel half as loud; the last frame is not a whole one."""
    before, after = (np.zeros(round(seconds * rate), np.float32) for seconds in (SILENCE, 0.5123))
    left = np.concatenate([before, speech(rate), after])
    return write_wav(path, np.stack([left, left / 2]), rate)


def talk(path: Path, seconds: float, rate: int = 16_000) -> Path:
    """Speech over and over, mono, for a length of time."""
    said = speech(rate)
    return write_wav(path, np.resize(said, round(seconds * rate))[None], rate)


def true_opening() -> NDArray[np.float32]:
    """The mouth's true opening [30] at 25 fps while `speech` is said."""
    with np.load(FIXTURES / "ada_talks.npz") as truth:
        return truth["mouth_open"]


@dataclass(frozen=True)
class Film:
    """A video as read back: frames uint8 [T, H, W, 3], exact rate, seconds of picture, sound [C, n], metadata."""

    frames: NDArray[np.uint8]
    fps: Fraction
    seconds: float
    sound: Samples
    rate: int
    codec: str
    metadata: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Film:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            seconds = float(stream.duration * stream.time_base)
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
            about = {**container.metadata, **stream.metadata}
            codec = container.streams.audio[0].codec_context.name
            rate = Fraction(stream.average_rate)
        sound, sound_rate = read_sound(path)
        return cls(frames, rate, seconds, sound, sound_rate, codec, about)


def assert_same_sound(film: Film, path: Path) -> None:
    """The film's sound is that of a file: rate, channels, length and loudness, as far as AAC allows."""
    given, rate = read_sound(path)
    assert film.codec == "aac"
    assert film.rate == rate
    assert len(film.sound) == len(given)
    assert abs(film.sound.shape[1] - given.shape[1]) <= 2048  # AAC comes in packets of 1024
    for wanted, got in zip(given, film.sound, strict=True):
        n = min(len(wanted), len(got))
        assert np.corrcoef(wanted[:n], got[:n])[0, 1] > 0.98
        assert np.dot(wanted[:n], got[:n]) / np.dot(wanted[:n], wanted[:n]) == pytest.approx(1, abs=0.03)


def mouth_opening(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Gap of the inner lips [T] by the height from the eyes to the chin, of the one face in frames [T, H, W, 3]."""
    reader, points = load_bundled(), []
    near = reader.detect(frames[:1])[0][0].landmarks
    for start in range(0, len(frames), 8):
        points += [face.landmarks for face in reader.follow(frames[start : start + 8], near)]
        near = points[-1]
    landmarks = np.stack(points)
    upper, lower = INNER_LIP_PAIRS[1]
    return np.linalg.norm(landmarks[:, upper] - landmarks[:, lower], axis=-1) / face_height(landmarks)


def encode_mp3(path: Path, minutes: float, rate: int = 48_000) -> Path:
    """A long mp3 of noise, made quickly: its packets are ten seconds of them, over and over."""
    block = np.random.default_rng(0).normal(0, 0.05, (1, 10 * rate)).astype(np.float32)
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}) as container:
        stream = container.add_stream("mp3", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    path.write_bytes(path.read_bytes() * round(6 * minutes))
    return path
