"""A person from prepared footage to a checkpoint and a page: whole, ended at every stage, killed, and for longer."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.cli.models import _problem
from talkface_core.dae_talker.model import load_dae_talker
from talkface_core.errors import InputError
from talkface_core.ladtalk.model import load_ladtalk
from talkface_core.personalise import run
from talkface_core.personalise.footage import Look
from talkface_core.personalise.run import expect, personalise
from talkface_core.personalise.settings import told
from talkface_core.personalise.state import LOCK, STATE, State
from talkface_core.personalise.watching import Stopped
from talkface_core.preparation.source_video import find_videos
from talkface_core.training.state import read_progress
from tests.acoustic.small_acoustic import small_acoustic
from tests.dae_talker.small import listening, save_small_talker
from tests.ladtalk.small_ladtalk import LISTENING, save_small_ladtalk

from .conftest import BUDGET, FILM, Told

ROOT = Path(__file__).parents[2]


def make(folder: Path, watcher: Told | None = None, settings=BUDGET):
    return personalise([FILM], folder, folder.with_name("ada.safetensors"), settings, "cpu", True, watcher)


def test_a_person_whatever_ended_it(prepared: Path, quick: None):
    """Ended at every stage and gone on with, it comes to one file for both loaders, and a page that needs no other."""
    for stage in ("face", "speech", "texture", "measure"):
        told = Told(until=stage)
        with pytest.raises(Stopped):
            make(prepared, told)
        assert told.stages[-1] == stage
        assert not (prepared / run.PAGE).exists()
    person = make(prepared, told := Told())
    assert told.stages == ["look", "measure"]
    assert any("going on" in line for line in told.lines)
    assert any(line.startswith("sharp: left out") for line in told.lines)
    assert {name: done["steps"] for name, done in person.state.done.items() if "steps" in done} == {
        "face": 3,
        "speech": 3,
        "texture": 3,
    }
    made = read_checkpoint(person.checkpoint)
    assert made.systems == ("dae_talker", "ladtalk")
    assert _problem(made) is None
    assert load_dae_talker(person.checkpoint, "cpu").speech.gate is not None
    assert load_ladtalk(person.checkpoint, "cpu").sovqae is not None
    page = person.page.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("data:image/jpeg") > 6
    assert person.numbers["restored"]["psnr_face"]["real"] == 100
    before = (prepared / STATE).read_bytes()
    told = Told()
    assert make(prepared, told).checkpoint == person.checkpoint  # all is done: nothing is done again
    assert (told.stages, (prepared / STATE).read_bytes()) == (["look"], before)


def test_a_beginning_that_cannot_be_built_is_refused_before_the_footage_is_looked_at(tmp_path: Path):
    begun = find_checkpoint("dae_talker_tiny")
    with safe_open(begun, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(begun)
    tensors["autoencoder.unet.conv_out.bias"].fill_(float("nan"))
    save_file(tensors, tmp_path / "nan.safetensors", metadata)
    settings = replace(BUDGET, talker=str(tmp_path / "nan.safetensors"))
    for go in (lambda: expect([FILM], settings, "cpu"), lambda: make(tmp_path / "ada", settings=settings)):
        with pytest.raises(InputError, match="NaN or infinite weights"):
            go()
    assert not (tmp_path / "ada").exists()


def test_beginnings_that_hear_different_acoustic_models_are_refused(tmp_path: Path):
    other = small_acoustic(width=12)
    talker = save_small_talker(tmp_path / "talker.safetensors", speech2latent=listening(other), acoustic=other)
    texture = save_small_ladtalk(tmp_path / "texture.safetensors", config=LISTENING)
    with pytest.raises(InputError, match="hear different acoustic models"):
        expect([FILM], replace(BUDGET, talker=str(talker), texture=str(texture)), "cpu")


@pytest.mark.parametrize(
    ("seconds", "budget", "least", "little"),
    [(12.0, 10.0, 70, True), (60.0, 10.0, 104, True), (60.0, 600.0, 600, False)],
)
def test_what_a_budget_does_not_hold_is_said_before_it_is_overrun(
    seconds: float, budget: float, least: float, little: bool
):
    """A budget of 10 s took 70 s of one core for 12 s of footage, and 104 s for 60 s."""
    found = Look(1, seconds, seconds, 25.0, 0.0, 0.0, 120.0, (-2.0, 2.0), 0.7, 0.6, 0, 0.6)
    expected = run._expected(found, replace(BUDGET, budget=budget))
    total, line = sum(expected.seconds.values()), expected.lines[-1]
    assert total == pytest.approx(least, rel=0.15)
    assert line.startswith(f"time: about {told(total)} on this machine (prepare ")
    assert (f"a budget of {told(budget)} is too little: " in line) == little


def test_for_longer(prepared: Path, quick: None, monkeypatch: pytest.MonkeyPatch):
    """A larger budget trains the face on from where it is; what hears begins anew, as its latents are others."""
    with pytest.raises(Stopped):
        make(prepared, Told(until="texture"))
    small = [replace(stage, most=5) for stage in run.STAGES]
    monkeypatch.setattr(run, "STAGES", tuple(small))
    with pytest.raises(Stopped):
        make(prepared, Told(until="texture"), replace(BUDGET, budget=90))
    assert [read_progress(prepared / name)["step"] for name in ("face", "speech")] == [5, 5]


def test_killed_while_it_trains(prepared: Path, quick: None):
    """Nothing is lost but what came after the last state; the same call then ends the work."""
    words = [FILM, "-o", prepared, "--budget", "60s", "--device", "cpu"]
    command = [sys.executable, "-m", "tests.personalise.quickly", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    state = prepared / "face" / "state.safetensors"
    deadline = time.monotonic() + 60
    while not state.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert read_progress(prepared / "face") is not None
    assert "face" not in json.loads((prepared / STATE).read_text(encoding="utf-8"))["done"]
    with pytest.raises(Stopped):
        make(prepared, Told(until="speech"))
    assert read_progress(prepared / "face")["step"] >= 3


def test_a_file_that_is_another_persons(prepared: Path, tmp_path: Path):
    (tmp_path / "other.safetensors").write_bytes(b"somebody")
    with pytest.raises(InputError, match="is there already"):
        personalise([FILM], tmp_path / "other", tmp_path / "other.safetensors", BUDGET)
    with pytest.raises(InputError, match=r"ends in \.safetensors"):
        personalise([FILM], tmp_path / "other", tmp_path / "other.pt", BUDGET)


def test_one_run_at_a_time(prepared: Path, quick: None):
    """And another one goes on as soon as the first has ended, however it did."""
    other = (
        "import sys, filelock; a = filelock.FileLock(sys.argv[1]); a.acquire(); print(1, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", other, str(prepared / LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        before = (prepared / STATE).read_bytes()
        with pytest.raises(InputError, match="another run is at work"):
            make(prepared)
        assert (prepared / STATE).read_bytes() == before
        process.kill()
    with pytest.raises(Stopped):
        make(prepared, Told(until="face"))


def test_what_another_run_has_done_while_this_one_looked_stays(prepared: Path, monkeypatch: pytest.MonkeyPatch):
    further = (prepared / STATE).read_text()
    found = Look.of(json.loads(further)["done"]["look"])
    (prepared / STATE).unlink()

    def looked(*_: object) -> Look:
        (prepared / STATE).write_text(further)
        return found

    monkeypatch.setattr(run, "look", looked)
    films = find_videos([FILM])
    state = State(prepared, dict(vars(BUDGET)), {film.key: film.path.name for film in films})
    run._looked(state, films, BUDGET, "cpu", Told())
    assert "prepare" in State.open(prepared, BUDGET, films).done


def test_a_folder_among_its_own_footage(tmp_path: Path):
    """Its clips and films would be footage when it is gone on with."""
    shutil.copy(FILM, tmp_path)
    with pytest.raises(InputError, match="give a name elsewhere"):
        personalise([tmp_path], tmp_path / "ada", tmp_path / "ada.safetensors", BUDGET)
    assert [path.name for path in tmp_path.iterdir()] == [FILM.name]
