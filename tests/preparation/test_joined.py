"""Sets of one film each join to what `prepare` makes of all films."""

import pytest

from talkface_core.errors import InputError
from talkface_core.preparation.cut import Tools
from talkface_core.preparation.dataset import prepare
from talkface_core.preparation.joined import join_sets
from talkface_core.preparation.rules import Rules
from talkface_core.preparation.source_video import find_videos

from .conftest import KnownFaces

RULES = Rules(size=64, shortest=0.4, longest=1.0)


@pytest.fixture
def parts(film, tmp_path):
    """Three films, sets of each, and what all need."""
    known: dict = {}
    for n in range(3):
        _, detector = film(f"film{n}.mp4", frames=30, first=n * 30, where=lambda k, n=n: {"scene": n})
        known.update(detector.faces)
    films, tools = find_videos(sorted(tmp_path.glob("film*.mp4"))), Tools(KnownFaces(known))
    sets = [tmp_path / f"part{n}" for n in range(3)]
    for one, folder in zip(films, sets, strict=True):
        prepare([one], folder, RULES, tools, val=0.0, split="time", quiet=True)
    return films, tools, sets


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_parts_are_the_whole(parts, tmp_path):
    films, tools, sets = parts
    whole = prepare(films, tmp_path / "whole", RULES, tools, val=0.34, quiet=True)
    joined = join_sets(sets, tmp_path / "joined", val=0.34)
    assert joined == whole
    assert names(tmp_path / "joined") == names(tmp_path / "whole")
    for path in (tmp_path / "whole").rglob("*.flac"):
        assert path.read_bytes() == (tmp_path / "joined" / path.relative_to(tmp_path / "whole")).read_bytes()


def test_a_film_keeps_its_side_when_others_are_added(parts, tmp_path):
    _, _, sets = parts
    one = join_sets(sets[:2], tmp_path / "one", val=0.5)
    sides = {film["name"]: film["val"] for film in one["films"]}
    assert sorted(sides.values()) == [0, 1]
    two = join_sets(sets, tmp_path / "two", val=0.9, former=tmp_path / "one")
    assert {name: side for name, side in _sides(two).items() if name in sides} == sides


def _sides(report):
    return {film["name"]: film["val"] for film in report["films"]}


def test_other_settings_do_not_mix(parts, tmp_path):
    films, tools, sets = parts
    prepare(films[:1], tmp_path / "other", Rules(size=64, shortest=0.4, longest=1.0, max_yaw=40), tools, quiet=True)
    with pytest.raises(InputError, match="other settings"):
        join_sets([*sets, tmp_path / "other"], tmp_path / "joined")
    with pytest.raises(InputError, match="cannot be read"):
        join_sets([tmp_path / "none"], tmp_path / "joined")
