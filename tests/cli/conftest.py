"""Runs of the program in this process or as one of its own, on a small random system and made-up sounds."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from talkface_core.cli.main import main
from tests.dae_talker.small import save_small_talker
from tests.ladtalk.small_ladtalk import save_small_ladtalk
from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole DAE-Talker checkpoint with random weights."""
    return save_small_talker(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture
def talkface(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """talkface("speak", ...): the program's exit status and what it printed."""

    def run(*words: object) -> Ended:
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        printed = capfd.readouterr()
        return Ended(status, printed.out, printed.err)

    return run


@pytest.fixture
def program() -> Callable[..., subprocess.Popen]:
    """program("speak", ..., **options of Popen): the program as a process of its own, on one thread."""
    started: list[subprocess.Popen] = []

    def start(*words: object, **options: object) -> subprocess.Popen:
        command = [sys.executable, "-m", "talkface_core", *map(str, words)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **{**pipes, **options}))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """wav(name, samples, rate, kind): a wav file of float or int16 samples [n], header written by hand."""

    def write(name: str, samples: np.ndarray, rate: int = 16000) -> Path:
        path = tmp_path / name
        data = samples.astype("<f4").tobytes() if samples.dtype.kind == "f" else samples.astype("<i2").tobytes()
        code, size = (3, 4) if samples.dtype.kind == "f" else (1, 2)
        form = np.array([code, 1], "<u2").tobytes() + np.array([rate, rate * size], "<u4").tobytes()
        form += np.array([size, 8 * size], "<u2").tobytes()
        body = b"WAVEfmt " + np.uint32(16).tobytes() + form + b"data" + np.uint32(len(data)).tobytes() + data
        path.write_bytes(b"RIFF" + np.uint32(len(body)).tobytes() + body)
        return path

    return write


@pytest.fixture
def speech(wav: Callable[..., Path]) -> Path:
    """A second of noise, which is speech enough for random weights."""
    return wav("speech.wav", np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))


@pytest.fixture(scope="session")
def small_ladtalk(tmp_path_factory) -> Path:
    return save_small_ladtalk(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture(scope="session")
def small_landmark_diffusion(tmp_path_factory) -> Path:
    return save_small_landmark_diffusion(tmp_path_factory.mktemp("weights") / "landmarks.safetensors")


@pytest.fixture
def dub(talkface, small_ladtalk, tmp_path):
    """dub(video, audio, *flags): the run, with the small model and out.mp4 unless the flags name others."""

    def run(video, audio, *flags):
        words = ["dub", video, audio, *flags]
        words += [] if "-o" in flags else ["-o", tmp_path / "out.mp4"]
        words += [] if "--model" in flags else ["--model", small_ladtalk]
        words += [] if "--device" in flags else ["--device", "cpu"]
        words += [] if "--detector" in flags else ["--detector", "bundled"]
        return talkface(*words)

    return run
