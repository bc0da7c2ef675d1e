"""Ends in the middle: Ctrl-C, SIGTERM, SIGKILL and a full disk leave no broken video and no older one harmed."""

import os
import signal
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


@pytest.fixture
def at_work(program, wav, small_checkpoint, tmp_path):
    """A `speak` that has begun to write, and has minutes of sound to go."""
    (tmp_path / "out.mp4").write_bytes(b"older")
    long = wav("long.wav", np.zeros(8000 * 600, np.int16), 8000)
    flags = ("--model", small_checkpoint, "--device", "cpu", "--steps", "4")
    # A shell that starts the tests in the background has Ctrl-C ignored, and programs inherit that.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = program("speak", long, "-o", tmp_path / "out.mp4", *flags, **heeding)
    until = time.monotonic() + 300
    while not [part for part in tmp_path.rglob("*.part/*.mp4") if part.stat().st_size > 0]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_leaves_nothing_behind(at_work, tmp_path, number, status):
    at_work.send_signal(number)
    _, err = at_work.communicate(timeout=120)
    assert at_work.returncode == status
    assert "Traceback" not in err
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.wav", "out.mp4"]


def test_a_kill_leaves_no_broken_video_and_the_next_run_clears_up(
    at_work, talkface, speech, small_checkpoint, tmp_path
):
    at_work.kill()
    at_work.communicate(timeout=120)
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert len(list(tmp_path.glob(".out.mp4.*.part"))) == 1
    ended = talkface("speak", speech, "-o", tmp_path / "out.mp4", "--model", small_checkpoint, "--quiet")
    assert ended.status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.wav", "out.mp4", "speech.wav"]


def test_a_disk_that_fills_up_is_told_in_one_line(program, wav, small_checkpoint, tmp_path):
    import resource

    noise = wav("noise.wav", np.random.default_rng(0).normal(0, 0.1, 16000 * 3).astype(np.float32))
    process = program(
        *("speak", noise, "-o", tmp_path / "out.mp4", "--model", small_checkpoint, "--device", "cpu", "--quiet"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert os.strerror(27) in err  # EFBIG, which stands in for ENOSPC
    assert err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise.wav"]
