"""The program as such: help at once, one line for what is wrong, exit statuses."""

import io
import logging
import os
import subprocess
import sys
import time

import pytest
from tqdm import tqdm

from talkface_core.cli import main as module
from talkface_core.cli.common import joined
from talkface_core.errors import InputError


@pytest.mark.parametrize("words", [("--help",), ("speak", "--help"), ("train", "--help"), ("models", "--help")])
def test_help_explains(talkface, words):
    ended = talkface(*words)
    assert ended.status == 0
    assert "python -m talkface_core" in ended.out
    assert not ended.err


def test_help_and_the_package_come_without_torch():
    """They answer at once: torch alone takes longer to import than anyone waits for a help text."""
    code = "import sys, talkface_core, talkface_core.cli.main as m\nm.make_parser()\n"
    code += "heavy = {'torch', 'numpy', 'av', 'accelerate', 'cv2'} & set(sys.modules)\nassert not heavy, heavy"
    began = time.process_time()
    subprocess.run([sys.executable, "-c", code], check=True)
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_that_wait_sleep_unless_told_otherwise(given):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    code = "import os, sys, talkface_core.__main__\nprint(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [given or "PASSIVE", "False"]  # torch reads it when it is loaded


def test_it_runs_as_a_module(program):
    process = program("--version")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out.strip(), err) == (0, "0.1.0", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "COMMAND"),
        (("dance",), "'dance'"),
        (("speak",), "AUDIO"),
        (("speak", "a.wav", "-o", "a.mp4", "--steps", "many"), "--steps: invalid int value: 'many'"),
        (("speak", "a.wav", "-o", "a.mp4", "--seed", "1.5"), "--seed: invalid int value"),
        (("speak", "a.wav", "-o", "a.mp4", "--device", "tpu"), "choose from"),
        (("speak", "a.wav", "-o", "a.mp4", "--colour", "red"), "--colour"),
    ],
)
def test_wrong_flags_are_one_line_and_status_2(talkface, words, message):
    ended = talkface(*words)
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.startswith("talkface: ")
    assert ended.err.count("\n") == 1
    assert not ended.out


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("two\nlines"), 2, "talkface: two lines\n"),
        (OSError(28, "No space left on device", "/x/out.mp4"), 2, "talkface: /x/out.mp4: No space left on device\n"),
        (KeyboardInterrupt(), 130, "talkface: stopped\n"),
    ],
)
def test_errors_become_a_line_and_a_status(talkface, monkeypatch, error, status, line):
    def fail(args):
        raise error

    monkeypatch.setattr(module.models, "run", fail)
    ended = talkface("models")
    assert (ended.status, ended.err, ended.out) == (status, line, "")


def test_a_bug_is_not_hidden(talkface, monkeypatch):
    def fail(args):
        raise ZeroDivisionError

    monkeypatch.setattr(module.models, "run", fail)
    with pytest.raises(ZeroDivisionError):
        talkface("models")


def test_a_list_may_begin_with_a_minus():
    words = joined(["speak", "a.wav", "--pose", "-15,0,.5", "--seed", "-1", "-o", "x.mp4", "--json"])
    assert words == ["speak", "a.wav", "--pose=-15,0,.5", "--seed=-1", "-o", "x.mp4", "--json"]


@pytest.mark.parametrize("words", [["--help"], ["prepare", "--help"], ["models"], ["speak", "ü.wav", "-o", "ö.mp4"]])
def test_a_terminal_that_knows_ascii_alone(monkeypatch, words):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    try:
        status = module.main(words)
    except SystemExit as end:
        status = end.code
    out.flush(), err.flush()
    said = err.buffer.getvalue().decode("ascii")
    assert status == (2 if words[0] == "speak" else 0), said
    assert said.count("\n") == (words[0] == "speak")
    assert bool(out.buffer.getvalue()) == (words[0] != "speak")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_memory_that_runs_out_is_one_line(talkface, monkeypatch, error):
    def run(*_):
        raise error

    monkeypatch.setattr("talkface_core.cli.models.run", run)
    ended = talkface("models")
    assert ended.status == 2
    assert ended.err.startswith("talkface: memory ran out")
    assert ended.err.count("\n") == 1


def test_messages_stand_on_lines_of_their_own(capsys):
    """Also while a bar is being drawn, so that neither hides the other."""
    handler = module._AboveBars()
    handler.setStream(sys.stderr)
    with tqdm(total=3, desc="frames", file=sys.stderr) as bar:
        bar.update()
        handler.emit(logging.LogRecord("a", logging.WARNING, "", 0, "something is odd", (), None))
        bar.update()
    shown = [line.rsplit("\r", 1)[-1] for line in capsys.readouterr().err.split("\n")]
    assert "something is odd" in shown
