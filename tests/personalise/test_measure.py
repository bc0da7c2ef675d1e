"""What is told of films in which no face was found: weights that know nothing draw none."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from talkface_core.errors import InputError
from talkface_core.evaluation.evaluate import Evaluation
from talkface_core.personalise import measure, report
from talkface_core.personalise.measure import AFTER, BEFORE, KINDS, REAL, RESTORED, SPOKEN, Measured, numbers
from tests.evaluation.scores import evaluation


def measured(before: int, after: int, kind: str = SPOKEN) -> Measured:
    """Clips a, b, c, of which so many show a face."""
    sides = (replace(evaluation(1.0, 2.0, 3.0), clips=evaluation(1.0, 2.0, 3.0).clips[-count:] if count else ())
             for count in (before, after))  # fmt: skip
    return Measured(kind, *sides)


def test_clips_are_paired_by_name():
    names = [(a and a.name, b and b.name) for a, b in measured(2, 3).pairs()]
    assert names == [(None, "a"), ("b", "b"), ("c", "c")]
    assert [(a and a.name, b) for a, b in measured(1, 0).pairs()] == [("c", None)]


@pytest.mark.parametrize(("before", "after"), [(3, 3), (0, 3), (3, 0), (0, 0), (1, 3)])
def test_numbers_page_and_sheet_do_without(before: int, after: int):
    one = measured(before, after)
    told = numbers([one])[SPOKEN]
    if before or after:
        assert (told["lmd"][BEFORE] is None, told["lmd"][AFTER] is None) == (not before, not after)
        assert told["lmd"][REAL] == 0
    page = report._kind(one, told)
    assert page.count("no face before") == (3 - before if after else 0)
    assert page.count("no face after") == (0 if after else before)
    rows = report.sheet([one, measured(before, after, RESTORED)]).shape[0] // 32
    first = one.pairs()[:1]
    assert rows == (2 * (1 + sum(side is not None for side in first[0])) if first else 2)


def test_a_film_without_a_face_is_left_out_and_a_real_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path):
    clips = SimpleNamespace(clips=[SimpleNamespace(name="a", width=64)])
    talker = SimpleNamespace(autoencoder=SimpleNamespace(sizes=(64,)))
    films = {kind: {"a": tmp_path / f"{kind}.mp4"} for kind in KINDS}
    faceless = {BEFORE}

    def read(files, *_, real, **__):
        assert real == "footage"
        if sides.pop(0) in faceless:
            raise InputError("no face in any of 50 frames")
        return files

    sides = [BEFORE, AFTER] * len(KINDS)
    monkeypatch.setattr(measure, "bundled_kit", lambda: SimpleNamespace(gate=None))
    monkeypatch.setattr(measure, "load_dae_talker", lambda *_: talker)
    monkeypatch.setattr(measure, "_films", lambda *_: films)
    monkeypatch.setattr(measure, "read_footage_of", lambda *_, **__: "footage")
    monkeypatch.setattr(measure, "read_pair", read)
    monkeypatch.setattr(measure, "score", lambda files, *_: evaluation(1.0).clips[0])
    weights = {side: ("talker", "texture") for side in (BEFORE, AFTER)}
    made = measure.measure(tmp_path, clips, weights, None)
    assert [(len(one.before.clips), len(one.after.clips)) for one in made] == [(0, 1)] * len(KINDS)
    assert all(isinstance(one.before, Evaluation) for one in made)

    def none(*_, **__):
        raise InputError("no face in any of 50 frames")

    monkeypatch.setattr(measure, "read_footage_of", none)
    with pytest.raises(InputError, match="no face"):
        measure.measure(tmp_path, clips, weights, None)
