"""The 68 landmarks: the parts are all there, a mirror keeps sides, and distances are in the face's own units."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.landmarks import (
    BROWS,
    CHIN,
    EYES,
    INNER_LIPS,
    JAW,
    MIRROR,
    MOUTH,
    NOSE,
    OUTER_EYE_CORNERS,
    OUTER_LIPS,
    POINTS,
    eye_distance,
    face_height,
    inner_lip_gap,
    landmark_distance,
    mirror,
    mouth_opening,
)


def test_the_parts_make_the_face():
    numbers = list(range(POINTS))
    assert [n for part in (JAW, BROWS, NOSE, EYES, OUTER_LIPS, INNER_LIPS) for n in numbers[part]] == numbers
    assert numbers[MOUTH] == numbers[OUTER_LIPS] + numbers[INNER_LIPS]


@pytest.mark.parametrize("kind", [torch.as_tensor, np.asarray])
def test_a_mirror_swaps_sides_and_undoes_itself(face, kind):
    points = kind(face.numpy() * (100, 100) + (7, 0))
    there = mirror(points, 160)
    right, left = OUTER_EYE_CORNERS
    assert float(there[right, 0]) == pytest.approx(160 - float(points[left, 0]))
    assert float(there[CHIN, 1]) == float(points[CHIN, 1])
    assert (there[JAW][1:, 0] > there[JAW][:-1, 0]).all()
    np.testing.assert_allclose(mirror(there, 160), points)
    assert sorted(MIRROR) == list(range(POINTS))


def test_a_mouth_opens_by_its_inner_lips(face):
    points = face.numpy()
    wider = points.copy()
    wider[65:68, 1] += 0.1
    assert inner_lip_gap(wider) == pytest.approx(inner_lip_gap(points) + 0.1)
    assert mouth_opening(7 * np.stack([points, wider])).tolist() == pytest.approx(
        [inner_lip_gap(points) / face_height(points), inner_lip_gap(wider) / face_height(wider)]
    )


def test_landmark_distance_is_counted_in_eye_distances():
    truth = np.zeros((2, 68, 2))
    truth[:, 42:48, 0] = 10.0
    moved = truth.copy()
    moved[1, 48:68] += (3.0, 4.0)
    assert eye_distance(truth).tolist() == [10.0, 10.0]
    assert landmark_distance(moved, truth).tolist() == pytest.approx([0.0, 0.5])
    assert landmark_distance(moved, truth, slice(0, 68))[1] == pytest.approx(0.5 * 20 / 68)
    with pytest.raises(InputError, match="LMD"):
        landmark_distance(moved[:, :60], truth[:, :60])
