"""Caches: built once and whole, by all that they follow from, beside those of other sets and settings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.training.frame_cache import CacheKey, cached_file, cached_frames, stats

KEY = CacheKey("frames", Path("/sets/ada"), (8,), [1, ["a.mp4", 10]])
SHAPE = (3, 2, 2, 3)


def grey(level: int) -> np.ndarray:
    return np.full(SHAPE[1:], level, np.uint8)


def build(folder: Path, key: CacheKey = KEY, levels=(1, 2, 3)) -> np.ndarray:
    return cached_frames(key, folder, SHAPE, lambda: map(grey, levels), "frames", quiet=True)


def test_it_is_built_once_and_read_only(tmp_path):
    first = build(tmp_path)
    assert isinstance(first, np.memmap)
    assert not first.flags.writeable
    assert first[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert build(tmp_path, levels=(7, 8, 9))[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert len(list(tmp_path.iterdir())) == 1


def test_other_content_replaces_it(tmp_path):
    build(tmp_path)
    assert build(tmp_path, replace(KEY, content=[2]), (4, 5, 6))[:, 0, 0, 0].tolist() == [4, 5, 6]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [{"settings": (16,)}, {"settings": (8, 4)}, {"kind": "faces"}, {"folder": Path("/other/ada")}],
    ids=["size", "pad", "kind", "folder"],
)
def test_other_settings_and_sets_stand_beside_it(tmp_path, change):
    other = replace(KEY, **change)
    build(tmp_path, other)
    build(tmp_path)
    build(tmp_path, replace(KEY, content=[2]), (4, 5, 6))
    assert len(list(tmp_path.iterdir())) == 2
    assert build(tmp_path, other, (7, 8, 9))[:, 0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("levels", [(1, 2), (1, 2, 3, 4), ()])
def test_too_few_or_too_many_frames_leave_nothing(tmp_path, levels):
    with pytest.raises(InputError, match=f"{len(levels)} frames where 3 were expected"):
        build(tmp_path, levels=levels)
    assert list(tmp_path.iterdir()) == []


def test_what_fails_halfway_leaves_the_older_one(tmp_path):
    build(tmp_path)

    def frames():
        yield grey(1)
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        cached_frames(replace(KEY, content=[2]), tmp_path, SHAPE, frames, "frames", quiet=True)
    assert build(tmp_path, levels=())[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_files_of_other_kinds_are_kept_alike(tmp_path):
    key = replace(KEY, kind="sounds")
    path = cached_file(key, tmp_path, ".npz", lambda part: part.write_text("once"))
    assert cached_file(key, tmp_path, ".npz", lambda part: pytest.fail("again")) == path
    assert path.read_text() == "once"


def test_a_changed_file_is_another_key(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_text("one")
    before = stats([file])
    file.write_text("other")
    assert stats([file]) != before
