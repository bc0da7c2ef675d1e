"""The record: done is what was done with these words and inputs and is still there; one at a time."""

import os

import pytest

from talkface_core.batch.job import DONE, ELSEWHERE, FAILED, SKIPPED, WRONG
from talkface_core.batch.record import Records
from talkface_core.batch.worker import work
from tests.batch.performing import finished, job, setting


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The setting, in whose home this process is."""
    made = setting(tmp_path / "home", tmp_path / "out")
    monkeypatch.chdir(tmp_path / "home")
    (tmp_path / "home" / "in.wav").write_bytes(b"sound")
    return made


def test_done_once(place, tmp_path):
    one = job(2, "write", inputs=("in.wav",))
    outcome = work(place, one)
    assert (outcome.end, outcome.result, outcome.messages) == (DONE, {"pid": os.getpid()}, ("2.txt was written",))
    assert (tmp_path / "out" / "2.txt").read_text() == "whole"
    assert work(place, one).end == SKIPPED
    assert finished(tmp_path / "home") == ["2.txt"]


@pytest.mark.parametrize("change", ["words", "input", "output", "gone", "record"])
def test_what_has_changed_is_done_again(place, tmp_path, change):
    one, records = job(2, "write", inputs=("in.wav",)), Records(place.out)
    work(place, one)
    assert records.read(one) is not None
    if change == "words":
        one = job(2, "write", "0", inputs=("in.wav",))
    elif change == "input":
        (tmp_path / "home" / "in.wav").write_bytes(b"other sound")
    elif change == "output":
        (tmp_path / "out" / "2.txt").write_text("cut")
    elif change == "gone":
        (tmp_path / "out" / "2.txt").unlink()
    else:
        (tmp_path / "out" / ".batch" / f"{one.id}.json").write_text('{"made": 3}')
    assert records.read(one) is None
    assert work(place, one).end == DONE


def test_what_a_worker_made_before_it_was_lost_is_not_made_again(place, tmp_path, monkeypatch):
    """It was killed between its output and its record."""
    one = job(2, "write", inputs=("in.wav",))
    (tmp_path / "out" / "2.txt").write_text("of an older table")
    with monkeypatch.context() as lost:
        lost.setattr(Records, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            work(place, one)
    assert Records(place.out).read(one) is None
    assert work(place, one).end == DONE
    assert finished(tmp_path / "home") == ["2.txt"]
    assert Records(place.out).read(one) is not None
    assert not list((tmp_path / "out" / ".batch").glob("*.began"))


def test_an_older_output_is_not_taken_for_a_new_one(place, tmp_path):
    (tmp_path / "out" / "2.txt").write_text("of an older table")
    assert work(place, job(2, "full")).end == FAILED
    assert work(place, job(2, "full")).end == FAILED
    assert work(place, job(2, "write")).end == DONE
    assert (tmp_path / "out" / "2.txt").read_text() == "whole"


def test_a_folder_counts_with_all_that_is_in_it(place, tmp_path):
    films = tmp_path / "home" / "films" / "deep"
    films.mkdir(parents=True)
    one, records = job(2, "write", inputs=("films",)), Records(place.out)
    work(place, one)
    assert records.read(one) is not None
    (films / "new.mp4").touch()
    assert records.read(one) is None


@pytest.mark.parametrize(("verb", "end", "said"), [("wrong", WRONG, "poisoned"), ("full", FAILED, "No space left")])
def test_a_failure_leaves_nothing(place, tmp_path, verb, end, said):
    outcome = work(place, job(2, verb))
    assert (outcome.end, said in outcome.error) == (end, True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".batch"]
    assert not list((tmp_path / "out" / ".batch").glob("*.json"))


def test_nobody_begins_what_another_is_at(place, tmp_path):
    with Records(place.out).alone(job(2, "write")) as ours:
        assert ours
        assert work(place, job(2, "write")).end == ELSEWHERE
    assert work(place, job(2, "write")).end == DONE


def test_what_a_killed_attempt_left_is_cleared(place, tmp_path):
    left = tmp_path / "out" / ".2.txt.999999.part"
    left.mkdir()
    work(place, job(2, "write"))
    assert not left.exists()


def test_links_within_the_output_folder_are_followed_and_others_are_not(place, tmp_path):
    out = tmp_path / "out"
    (out / "real").mkdir()
    (out / "inner.txt").symlink_to(out / "real" / "one.txt")
    (out / "outer.txt").symlink_to(tmp_path / "home" / "one.txt")
    assert work(place, job(2, "write", output="inner.txt")).end == DONE
    assert (out / "real" / "one.txt").read_text() == "whole"
    outcome = work(place, job(3, "write", output="outer.txt"))
    assert (outcome.end, "a link leads out of" in outcome.error) == (WRONG, True)
    assert not (tmp_path / "home" / "one.txt").exists()


@pytest.mark.parametrize("target", ["gone", "there", None])
def test_what_is_no_folder_in_the_place_of_one_is_named(place, tmp_path, target):
    there = tmp_path / "out" / "there"
    there.symlink_to(target) if target else there.touch()
    outcome = work(place, job(2, "write", output="there/one.txt"))
    assert (outcome.end, "there is a file, or a link that leads to no folder" in outcome.error) == (WRONG, True)


def test_an_output_folder_may_be_a_link_itself(place, tmp_path):
    (tmp_path / "named").symlink_to(tmp_path / "out")
    Records(tmp_path / "named").check_place(job(2, "write"))


def test_a_folder_takes_the_place_of_an_older_one(place, tmp_path):
    one, records = job(2, "write", output="set"), Records(place.out)
    for text in ("old", "new"):
        made = records.workplace(one) / "set"
        made.mkdir(parents=True)
        (made / "clip").write_text(text)
        records.place(one, made)
        assert (tmp_path / "out" / "set" / "clip").read_text() == text
    assert not list((tmp_path / "out" / ".batch").iterdir())
