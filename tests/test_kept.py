"""Models that stay: the same call gives the same object, until the file or the arguments change."""

import os

import pytest

from talkface_core import kept as module
from talkface_core.kept import forget_models, keep_models, kept


def load(name, device="cpu"):
    return [name, device]


@pytest.fixture
def keeping():
    keep_models(2)
    yield
    keep_models(0)


def test_by_default_nothing_is_kept():
    assert kept(load, "a") is not kept(load, "a")
    assert not module._kept


def test_the_same_call_gives_the_same_model(keeping):
    first = kept(load, "a", device="cpu")
    assert kept(load, "a", device="cpu") is first
    assert kept(load, "a", device="cuda") is not first
    forget_models()
    assert kept(load, "a", device="cpu") is not first


def test_a_file_that_has_changed_is_loaded_again(keeping, tmp_path):
    path = tmp_path / "model"
    path.write_text("one")
    first = kept(load, path)
    assert kept(load, str(path)) is first  # by its place, however that is written
    path.write_text("two more")
    os.utime(path, ns=(1, 1))
    assert kept(load, path) is not first


def test_as_many_stay_as_are_asked_for(keeping):
    first, second = kept(load, 1), kept(load, 2)
    assert kept(load, 1) is first  # used last, so the other goes
    kept(load, 3)
    assert kept(load, 1) is first
    assert kept(load, 2) is not second
