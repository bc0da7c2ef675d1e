"""Scores go through a file unchanged, and another file is told."""

from dataclasses import fields, replace

import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.evaluation.scores_file import read_scores, write_scores

from .scores import clip


def test_there_and_back(tmp_path):
    made = clip("häus/a b", 0.5)
    made = replace(
        made,
        values={**made.values, "lmd": float("nan")},
        pauses=None,
        curves={"lmd": np.linspace(0, 1, made.frames)},
        features={"fid": (np.ones((3, 4), np.float32), np.zeros((2, 4), np.float32))},
    )
    write_scores(tmp_path / "a.npz", made)
    read = read_scores(tmp_path / "a.npz")
    for field in fields(made):
        np.testing.assert_equal(plain(getattr(read, field.name)), plain(getattr(made, field.name)), field.name)


def plain(value):
    return [vars(moment) for moment in value] if isinstance(value, tuple) and hasattr(value[0], "badness") else value


def test_another_file_is_told(tmp_path):
    np.savez(tmp_path / "a.npz", strip=np.zeros(3))
    with pytest.raises(InputError, match="no scores of a clip"):
        read_scores(tmp_path / "a.npz")
