"""Faces placed as an imperfect alignment would: pictures and points move together."""

import numpy as np
import pytest

from talkface_core.faces.placement import Placement


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


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
    augmented = placement.pictures(dotted(landmarks[:, 30], 120))
    rows, columns = np.nonzero(augmented[0, ..., 0] > 100)
    # The tip of the nose keeps its number in a mirror.
    x, y = placement.points(landmarks)[0, 30]
    assert abs(columns.mean() + 0.5 - x) < 0.7
    assert abs(rows.mean() + 0.5 - y) < 0.7
    lower = placement.pictures(dotted(landmarks[:, 30], 120), top=40)
    np.testing.assert_array_equal(lower, augmented[:, 40:])


def test_a_mirror_keeps_sides():
    landmarks = np.zeros((1, 68, 2), np.float32) + 60
    landmarks[:, 36] = (40, 50)  # outer corner of the eye at the left of the picture
    placement = Placement.draw(rng(), 96, 12, shift=0, scale=0, degrees=0, mirror=1.0)
    moved = placement.points(landmarks)
    np.testing.assert_allclose(moved[0, 45], (48 + 20, 38), atol=1e-4)


def test_the_plain_crop():
    frames = rng().integers(0, 256, (2, 120, 120, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Placement.plain(96, 12).pictures(frames), frames[:, 12:108, 12:108])
