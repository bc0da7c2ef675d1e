"""Other cameras and small moves: one look for a sample, points that stay on the picture, mirrors that keep sides."""

import numpy as np
import pytest

from talkface_core.training.picture_augment import MIRRORED, PictureAugment, Placement

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
    made = quiet.look(rng())(pictures)
    assert made.dtype == np.uint8
    assert made.shape == pictures.shape
    assert np.abs(made.astype(int) - pictures).mean() > 2
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(quiet.look(rng())(pictures), made)
    assert not np.array_equal(quiet.look(rng(1))(pictures), made)


def test_noise_differs_from_frame_to_frame(pictures):
    look = ALWAYS.look(rng(2))
    made = look(pictures)
    assert not np.array_equal(made[0], made[1])
    np.testing.assert_array_equal(look(pictures), made)


def test_the_picture_survives(pictures):
    """However far it goes, what was bright is brighter than what was dark."""
    for seed in range(30):
        made = ALWAYS.look(rng(seed))(pictures).astype(float)
        grey, before = made[0].mean(-1).ravel(), pictures[0].astype(float).mean(-1).ravel()
        assert np.corrcoef(grey, before)[0, 1] > 0.4
        assert 3 < grey.mean() < 252


def test_clean_ones(pictures):
    look = PictureAugment(clean=1.0).look(rng())
    np.testing.assert_array_equal(look(pictures), pictures)


def dotted(points, side):
    pictures = np.zeros((len(points), side, side, 3), np.uint8)
    for k, (x, y) in enumerate(points):
        pictures[k, int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
    return pictures


@pytest.mark.parametrize("seed", range(6))
def test_points_stay_on_the_picture(seed):
    landmarks = rng(seed).uniform(50, 70, (1, 68, 2)).astype(np.float32)
    landmarks[:, 30] = (57.5, 66.5)
    placement = Placement.draw(rng(seed), 96, 12)
    made = placement.pictures(dotted(landmarks[:, 30], 120))
    rows, columns = np.nonzero(made[0, ..., 0] > 100)
    # The tip of the nose keeps its number in a mirror.
    x, y = placement.points(landmarks)[0, 30]
    assert abs(columns.mean() + 0.5 - x) < 0.7
    assert abs(rows.mean() + 0.5 - y) < 0.7
    lower = placement.pictures(dotted(landmarks[:, 30], 120), top=40)
    np.testing.assert_array_equal(lower, made[:, 40:])


def test_a_mirror_keeps_sides():
    assert sorted(MIRRORED) == list(range(68))
    np.testing.assert_array_equal(MIRRORED[MIRRORED], np.arange(68))
    landmarks = np.zeros((1, 68, 2), np.float32) + 60
    landmarks[:, 36] = (40, 50)  # outer corner of the eye at the left of the picture
    placement = Placement.draw(rng(), 96, 12, shift=0, scale=0, degrees=0, mirror=1.0)
    moved = placement.points(landmarks)
    np.testing.assert_allclose(moved[0, 45], (48 + 20, 38), atol=1e-4)


def test_the_plain_crop(pictures):
    frames = rng().integers(0, 256, (2, 120, 120, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Placement.plain(96, 12).pictures(frames), frames[:, 12:108, 12:108])
