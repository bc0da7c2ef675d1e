"""Other cameras: one look for all frames of a sample."""

import numpy as np
import pytest

from talkface_core.training.picture_augment import PictureAugment

ALWAYS = PictureAugment(clean=0.0, blur_probability=1, resample_probability=1, jpeg_probability=1, noise_probability=1)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def pictures():
    y, x = np.mgrid[0:48, 0:96]
    one = np.stack([2 * y + 60, x + 40, 128 + 40 * np.sin(x / 9)], -1).astype(np.uint8)
    return np.stack([one, one, one])


def test_one_look_for_all_frames(pictures):
    quiet = PictureAugment(clean=0.0, noise_probability=0.0, blur_probability=1, jpeg_probability=1)
    augmented = quiet.look(rng())(pictures)
    assert augmented.dtype == np.uint8
    assert augmented.shape == pictures.shape
    assert np.abs(augmented.astype(int) - pictures).mean() > 2
    np.testing.assert_array_equal(augmented[0], augmented[1])
    np.testing.assert_array_equal(quiet.look(rng())(pictures), augmented)
    assert not np.array_equal(quiet.look(rng(1))(pictures), augmented)


def test_noise_differs_from_frame_to_frame(pictures):
    look = ALWAYS.look(rng(2))
    augmented = look(pictures)
    assert not np.array_equal(augmented[0], augmented[1])
    np.testing.assert_array_equal(look(pictures), augmented)


def test_the_picture_survives(pictures):
    """However far it goes, what was bright is brighter than what was dark."""
    for seed in range(30):
        augmented = ALWAYS.look(rng(seed))(pictures).astype(float)
        grey, before = augmented[0].mean(-1).ravel(), pictures[0].astype(float).mean(-1).ravel()
        assert np.corrcoef(grey, before)[0, 1] > 0.4
        assert 3 < grey.mean() < 252


def test_clean_ones(pictures):
    look = PictureAugment(clean=1.0).look(rng())
    np.testing.assert_array_equal(look(pictures), pictures)
