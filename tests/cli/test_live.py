"""`speak --live`: sound out of a pipe, a video that grows, ends in the middle that leave what plays."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from talkface_core.cli.main import make_parser
from talkface_core.errors import InputError
from talkface_core.media.video_writer import SYNTHETIC_MARK

RAW = (np.random.default_rng(0).normal(0, 3000, 16000)).astype("<i2").tobytes()
STREAM = {"stdin": subprocess.PIPE, "text": False}


@pytest.fixture
def live(talkface, small_checkpoint, tmp_path):
    """live(audio, *flags): the run, with the small model and out.mp4 unless the flags name others."""

    def run(audio, *flags):
        words = ["speak", "--live", audio, "--model", small_checkpoint, "--device", "cpu", *flags]
        return talkface(*words, *([] if "-o" in flags else ["-o", tmp_path / "out.mp4"]))

    return run


@pytest.fixture
def streaming(program, small_checkpoint):
    """streaming(*flags, **options): the program of its own with a pipe to speak into, and RAW spoken into it."""

    def run(*flags, **options):
        words = ("speak", "--live", "-", "--rate", 16000, "--model", small_checkpoint, "--device", "cpu", *flags)
        heeding = (
            {} if sys.platform == "win32" else {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        )
        process = program(*words, **STREAM, **heeding, **options)
        process.stdin.write(RAW)
        process.stdin.flush()
        return process

    return run


def frames_of(path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_a_file_in_real_time(live, speech, tmp_path):
    ended = live(speech, "--json", "--quiet", "--look-ahead", "0.1", "--seed", "4")
    assert (ended.status, ended.err) == (0, "")
    result = json.loads(ended.out)
    assert (result["frames"], result["fps"], result["seconds_audio"]) == (25, 25.0, 1.0)
    assert (result["look_ahead"], result["format"], result["seed"]) == (0.1, "mp4", 4)
    assert result["seconds_wall"] >= 0.95
    assert 0.1 < result["latency_p50"] <= result["latency_p99"] < 5
    assert 0 <= result["work_p50"] <= result["latency_p50"]
    assert 0.2 < result["seconds_first_frame"] < 5
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert SYNTHETIC_MARK.items() <= container.metadata.items()
    assert frames_of(tmp_path / "out.mp4") == 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "speech.wav"]


def test_through_pipes(streaming, tmp_path):
    process = streaming("-o", "-", "--format", "ts")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (tmp_path / "out.ts").write_bytes(out)
    assert frames_of(tmp_path / "out.ts") >= 25
    assert re.search(rb"-: \d+ frames(, \d+ held for want of time)?; latency \d", err)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_at_once_and_leaves_what_plays(streaming, tmp_path, number, status):
    target = tmp_path / "out.mp4"
    process = streaming("-o", target, "--quiet")
    until = time.monotonic() + 120
    # The pipe stays open and gives nothing more: the face idles, and the film goes on growing.
    while not target.exists() or target.stat().st_size < 20_000:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    sent = time.monotonic()
    process.send_signal(number)
    process.wait(timeout=60)
    assert time.monotonic() - sent < 20  # half a second on a machine that does nothing else
    assert process.returncode == status
    assert b"Traceback" not in process.stderr.read()
    assert frames_of(target) > 25


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_ends_it_without_a_word(streaming):
    process = streaming("-o", "-", "--quiet")
    assert len(os.read(process.stdout.fileno(), 500)) > 0
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert not process.stderr.read()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--look-ahead 3", "look-ahead of 3 s is outside 0.04..2"),
        ("--rate 8000", "--rate is that of raw sound from standard input"),
        ("--fps 30", "live frames come at the model's own 25"),
        ("--steps 0", "cannot take 0 sampling steps"),
        ("--pose {tmp}/turn.csv", "a live run takes one pose"),
        ("--pose 0,95,0", "beyond 90 degrees"),
        ("--expression 3", "expression 3.0 is outside"),
        ("--format ts", "must end in .ts"),
        ("-o {tmp}/out.avi", "must end in .mp4 (fragmented) or .ts (MPEG-TS); -o - streams to standard output"),
        ("-o {tmp}/out", "must end in .mp4 (fragmented) or .ts"),
        ("-o {tmp}/out.avi --format ts", "must end in .ts, for example out.ts"),
        ("-o - --json", "both want standard output"),
        ("-o {tmp}/none/out.mp4", "does not exist"),
    ],
)
def test_wrong_settings(live, speech, tmp_path, flags, message):
    (tmp_path / "turn.csv").write_text("0: 0,0,0\n1: 30,0,0\n")
    ended = live(speech, *flags.format(tmp=tmp_path).split())
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.mp4"))


def test_live_flags_need_live(talkface, speech, small_checkpoint, tmp_path):
    for flags, message in (
        (("--look-ahead", "0.3"), "--look-ahead is for live runs"),
        (("--rate", "8000"), "--rate is for live runs"),
        (("--format", "mp4"), "--format is for live runs"),
    ):
        ended = talkface("speak", speech, "-o", tmp_path / "out.mp4", "--model", small_checkpoint, *flags)
        assert ended.status == 2
        assert message in ended.err
    ended = talkface("speak", "-", "-o", tmp_path / "out.mp4", "--model", small_checkpoint)
    assert (ended.status, "AUDIO - is for live runs" in ended.err) == (2, True)


def test_a_stream_without_sound(live, tmp_path, monkeypatch):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        ended = live("-")
    assert ended.status == 2
    assert "standard input is empty" in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.glob("*.mp4"))


def test_streams_that_are_closed_or_one_file(live, speech, small_checkpoint, tmp_path, monkeypatch):
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdin", None)
        ended = live("-")
        assert (ended.status, "standard input, which is closed" in ended.err) == (2, True)
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdout", None)
        args = make_parser().parse_args(["speak", "--live", str(speech), "-o", "-"])
        with pytest.raises(InputError, match="standard output, which is closed"):
            args.run(args)
    target = tmp_path / "out.ts"
    target.write_bytes(RAW)
    with target.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        ended = live("-", "-o", target)
    assert (ended.status, "is also standard input" in ended.err, target.read_bytes()) == (2, True, RAW)
