"""A still's landmarks turn as a head does."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.geometry import FLIP, GENERIC_FACE, rotation
from talkface_core.faces.head_pose import HeadPose
from talkface_core.faces.landmarks import STABLE
from talkface_core.faces.solve_pose import solve
from talkface_core.faces.turning import turned_landmarks


def still(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, scale: float = 12.0) -> torch.Tensor:
    turned = GENERIC_FACE @ rotation(np.array([[yaw, pitch, roll]]))[0].T
    return torch.from_numpy(turned[:, :2] * FLIP * scale + 20 * scale).float()


def test_a_pose_of_zeros_leaves_the_still_as_it_is():
    points = still(8, -4, 3)
    made = turned_landmarks(points, HeadPose.constant(0, 0, 0), 5, 25)
    assert made.shape == (5, 68, 2)
    torch.testing.assert_close(made, points.expand(5, -1, -1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [12.0, 0.03])
def test_it_turns_as_the_head_does_whatever_the_unit(scale):
    points = still(scale=scale)
    keys = HeadPose.from_keys([(0.0, 0, 0, 0), (1.0, 20, -10, 5)])
    made = turned_landmarks(points, keys, 26, 25)
    own = solve(points.double().numpy())
    for k in (0, 10, 25):
        expected = own + keys.at(26, 25)[k].numpy()
        true = still(*expected, scale=scale)
        # The solver's camera is near, the projection is not: a degree of difference.
        error = (made[k] - made[k, list(STABLE)].mean(0)) - (true - true[list(STABLE)].mean(0))
        assert error.norm(dim=-1).mean() < 0.15 * scale
        assert np.abs(solve(made[k].double().numpy()) - expected).max() < 2.5
    # The nose's tip goes to the right of the picture, and up as the head rises.
    moved = made[25, 30] - made[0, 30]
    assert moved[0] > 0.3 * scale
    assert moved[1] < 0
    middle = made[:, list(STABLE)].mean(1)
    torch.testing.assert_close(middle, middle[:1].expand_as(middle), atol=1e-4 * scale, rtol=0)


def test_angles_may_be_the_heads_own():
    points = still(12, 5, 0)
    made = turned_landmarks(points, HeadPose.constant(0, 0, 0), 2, 25, relative=False)
    assert np.abs(solve(made[0].double().numpy())).max() < 2.5
    far = turned_landmarks(points, HeadPose.constant(90, 0, 0), 2, 25)
    assert torch.isfinite(far).all()


def test_an_expression_goes_along():
    points = still(5)
    points[55:60, 1] += 20
    made = turned_landmarks(points, HeadPose.constant(15, 0, 0), 1, 25)[0]
    opening = made[57, 1] - made[51, 1]
    assert opening == pytest.approx(float(points[57, 1] - points[51, 1]), rel=0.1)


def test_what_is_no_face_is_refused():
    pose = HeadPose.constant(0, 0, 0)
    for wrong in (still()[:60], torch.full((68, 2), float("nan")), torch.ones(68, 2)):
        with pytest.raises(InputError):
            turned_landmarks(wrong, pose, 3, 25)
    with pytest.raises(InputError, match="front"):
        turned_landmarks(still(84), pose, 3, 25)
    with pytest.raises(InputError, match="frames"):
        turned_landmarks(still(), pose, 0, 25)
