"""The cards of the workflows in the template browser, as benchmarks/workflow_pictures.py made them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from benchmarks.workflow_cards import CARDS, SIDE
from workflows.build import FOLDER, titles

TITLES = titles()


@pytest.mark.parametrize("name", TITLES)
def test_a_small_square_picture_lies_beside_each_workflow(name: str) -> None:
    path = FOLDER / f"{TITLES[name]}.jpg"
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (SIDE, SIDE)
    assert path.stat().st_size < 40 * 1024


def test_no_two_can_be_taken_for_each_other() -> None:
    """Not even tiny and without colours, where grids of frames of one head differ by 0 to 8 grey levels."""
    tiny = {}
    for name, title in TITLES.items():
        with Image.open(FOLDER / f"{title}.jpg") as picture:
            tiny[name] = np.asarray(picture.convert("L").resize((16, 16), Image.Resampling.BOX), np.float32)
    for one, other in itertools.combinations(TITLES, 2):
        assert np.abs(tiny[one] - tiny[other]).mean() > 15, f"{one} and {other}"


def test_each_workflow_has_one_and_nothing_on_it_is_hidden() -> None:
    assert list(CARDS) == list(TITLES)
    for name, panels in CARDS.items():
        drawn = np.zeros((SIDE, SIDE), np.int64)
        for (left, top, right, bottom), _ in panels:
            assert 0 <= left < right <= SIDE
            assert 0 <= top < bottom <= SIDE
            drawn[top:bottom, left:right] += 1
        assert drawn.max() == 1, f"panels of {name} lie on each other"
        assert drawn.mean() > 0.9, f"{name} leaves much of its card empty"
