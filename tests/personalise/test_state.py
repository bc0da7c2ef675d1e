"""What is done of a person is read back, and is nobody else's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from talkface_core.errors import InputError
from talkface_core.personalise.state import STATE, State
from talkface_core.preparation.source_video import SourceVideo, find_videos

from .conftest import BUDGET, FILM


@pytest.fixture
def films() -> list[SourceVideo]:
    return find_videos([FILM])


def test_it_goes_on_where_it_stood(prepared: Path, films):
    with State.open(prepared, BUDGET, films).clock("prepare"):
        pass
    state = State.open(prepared, BUDGET, films)
    assert list(state.done) == ["look", "prepare"]
    assert state.seconds > 0
    assert not state.longer


def test_a_larger_budget_trains_on_and_a_smaller_one_is_refused(prepared: Path, films):
    state = State.open(prepared, replace(BUDGET, budget=120), films)
    assert state.longer
    state.forget("face")
    assert not State.open(prepared, replace(BUDGET, budget=120), films).longer
    with pytest.raises(InputError, match="begun with a budget of 2 min"):
        State.open(prepared, BUDGET, films)


def test_other_films_and_other_settings(prepared: Path, films):
    with pytest.raises(InputError, match=r"begun with other videos \(ada_talks\.mp4\)"):
        State.open(prepared, BUDGET, [replace(films[0], key="another")])
    with pytest.raises(InputError, match="seed 0, now 1"):
        State.open(prepared, replace(BUDGET, seed=1), films)


def test_folders_of_something_else(tmp_path: Path, prepared: Path, films):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="holds other things"):
        State.open(tmp_path / "full", BUDGET, films)
    with pytest.raises(InputError, match="is a file"):
        State.open(tmp_path / "full" / "letter.txt", BUDGET, films)
    (prepared / STATE).write_text('{"format": "talkface person"}', encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        State.open(prepared, BUDGET, films)


@pytest.mark.parametrize("spoilt", [
    {"done": {"look": {}}},
    {"done": {"look": 5}},
    {"done": {"look": {"yaw": 3}}},
    {"done": {"look": {"yaw": [1, 2], "films": "many"}}},
    {"plan": {"face": {"steps": 3}}},
    {"plan": {"face": {"steps": 3, "seconds_step": 0}}},
])  # fmt: skip
def test_what_somebody_spoilt(prepared: Path, films, spoilt):
    state = json.loads((prepared / STATE).read_text(encoding="utf-8"))
    (prepared / STATE).write_text(json.dumps({**state, **spoilt}), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        State.open(prepared, BUDGET, films)
