"""`personalise`: what is wrong is told in one line before anything is begun; --check only looks."""

import json
from pathlib import Path

import pytest

FILM = Path(__file__).parents[2] / "samples" / "ada.mp4"


def test_too_short_footage_is_refused_at_once(talkface, tmp_path):
    ended = talkface("personalise", FILM, "-o", tmp_path / "ada")
    assert ended.status == 2
    assert ended.err.count("\n") == 1
    assert "s of footage in ada.mp4; 10 s are the least" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--budget", "soon"), "2h, 1h30m or 45m"),
        (("--face", "tall"), "from the left"),
        (("--talker", "nobody"), "nobody"),
        (("--check", "--talker", "nobody"), "nobody"),
        (("--check", "--texture", "dae_talker_tiny"), "expected the system 'ladtalk'"),
        (("-o", "nowhere/at/all"), "does not exist"),
    ],
)
def test_wrong_words(talkface, tmp_path, words, told):
    ended = talkface("personalise", FILM, "-o", tmp_path / "ada", *words)
    assert ended.status == 2
    assert told in ended.err
    assert not (tmp_path / "ada").exists()


def test_check_says_what_the_footage_is_good_for(talkface, tmp_path, monkeypatch):
    from talkface_core.personalise import footage, run

    real = run.look

    def looked(films, detector, settings, watcher=None):
        return real(films, detector, footage.Settings(least=1.0), watcher)

    monkeypatch.setattr(run, "look", looked)
    ended = talkface("personalise", FILM, "-o", tmp_path / "ada", "--check", "--budget", "30m", "--json")
    assert ended.status == 0, ended.err
    told = json.loads(ended.out)
    assert told["footage"]["several"] == 0
    assert sum(told["seconds"].values()) == pytest.approx(1800, rel=0.01)
    assert told["lines"][-1].startswith("time: about 30 min")
    assert list(tmp_path.iterdir()) == []


def test_every_stage_that_was_trained_is_told(talkface, tmp_path, monkeypatch):
    from talkface_core.personalise import run
    from talkface_core.personalise.settings import Settings
    from talkface_core.personalise.state import State

    trained = {name: {"steps": 6} for name in ("face", "speech", "sharp", "texture")}
    state = State(tmp_path, dict(vars(Settings())), {}, {"look": {}, **trained, "join": {}})
    person = run.Person(tmp_path / "ada.safetensors", tmp_path / "report.html", {}, [], state)
    monkeypatch.setattr(run, "personalise", lambda *_: person)
    ended = talkface("personalise", FILM, "-o", tmp_path / "ada", "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["stages"] == trained
