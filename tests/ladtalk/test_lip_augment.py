"""Painted lips and disturbed mouths: where the mouth is, nowhere else, and the same in all frames of a sample."""

import numpy as np
import pytest

from talkface_core.ladtalk.lip_augment import disturb_mouths, paint_lips


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def face():
    """Two grey pictures and an open mouth 30 px wide around (48, 70)."""
    points = np.tile(np.float32([48, 30]), (68, 1))
    around = np.linspace(0, 2 * np.pi, 13)[:-1]
    points[48:60] = np.c_[48 - 15 * np.cos(around), 70 - 8 * np.sin(around)]
    points[60:68] = np.c_[48 - 10 * np.cos(around[:8] * 1.5), 70 - 4 * np.sin(around[:8] * 1.5)]
    return np.full((2, 96, 96, 3), 120, np.uint8), np.stack([points, points])


def changed(after, before):
    return np.abs(after.astype(int) - before).max((0, 3)) > 3


def test_painted_lips_are_lips(face):
    pictures, points = face
    for seed in range(10):
        painted = paint_lips(pictures, points, rng(seed))
        np.testing.assert_array_equal(painted[0], painted[1])
        rows, columns = np.nonzero(changed(painted, pictures))
        assert 60 <= rows.min() <= 66
        assert 74 <= rows.max() <= 80
        assert columns.min() >= 31
        assert columns.max() <= 65
        # Between the lips nothing is painted; the lower lip is, in a colour of its own.
        assert np.abs(painted[0, 70, 48].astype(int) - 120).max() < 25
        assert np.abs(painted[0, 76, 48].astype(int) - 120).max() > 10
    assert (pictures == 120).all()


def test_patches_stay_near_the_mouth(face):
    pictures, points = face
    for seed in range(20):
        disturbed = disturb_mouths(pictures, points, rng(seed))
        np.testing.assert_array_equal(disturbed[0], disturbed[1])
        where = changed(disturbed, pictures)
        assert where.any()
        assert not where[:40].any()
    np.testing.assert_array_equal(disturb_mouths(pictures, points, rng(1)), disturb_mouths(pictures, points, rng(1)))
    assert (pictures == 120).all()


def test_patches_move_with_the_mouth(face):
    pictures, points = face
    points[1] += (6, -4)
    disturbed = disturb_mouths(pictures, points, rng(3))
    np.testing.assert_array_equal(np.roll(disturbed[0], (-4, 6), (0, 1)), disturbed[1])
