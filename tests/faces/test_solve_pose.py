"""Head pose: a face of known turn, drawn by the camera, is read back; warnings name the angle."""

import numpy as np
import pytest
import torch

from talkface_core.faces.geometry import GENERIC_FACE, rotation, turns
from talkface_core.faces.solve_pose import head_pose, solve, warn_of_yaw
from talkface_core.faces.track import FaceTrack


def projected(pose, distance=110.0, scale=20.0, shape=GENERIC_FACE, centre=(300.0, 200.0)) -> np.ndarray:
    """The face in a pose as a camera sees it, pixels [68,2]."""
    points = shape @ rotation(np.array([pose]))[0].T
    depth = distance / (distance - points[:, 2])
    return np.array(centre) + scale * depth[:, None] * points[:, :2] * (1, -1)


@pytest.mark.parametrize("pose", [(0, 0, 0), (30, 0, 0), (-30, 10, 5), (15, -20, -25), (55, 5, 0), (0, 25, 40)])
def test_a_known_turn_is_read_back(pose):
    assert np.allclose(solve(projected(pose), (400, 600)), pose, atol=0.2)
    assert np.allclose(solve(projected(pose, scale=3.0, centre=(9.0, 900.0))), pose, atol=1.2)


def test_off_the_middle_a_head_is_seen_from_its_side():
    """The head looks straight ahead beside the camera's axis: we see its cheek, yet it is not turned."""
    points = GENERIC_FACE + np.array([20, 0, 0])
    depth = 110 / (110 - points[:, 2])
    pixels = np.array([300, 200]) + 20 * depth[:, None] * points[:, :2] * (1, -1)
    assert np.allclose(solve(pixels, (400, 600)), 0, atol=0.2)
    assert solve(pixels)[0] > 8


def test_a_small_face_is_far_away():
    assert np.allclose(solve(projected((20, 5, 0), 2000.0, 2.0, centre=(960, 540)), (1080, 1920)), (20, 5, 0), atol=1)


@pytest.mark.parametrize("distance", [50.0, 400.0])
def test_another_camera_changes_little(distance):
    for pose in ((25, 0, 0), (-10, 12, 6)):
        assert np.abs(solve(projected(pose, distance)) - pose).max() < 4


def test_another_face_changes_little():
    """People differ by about as much as this face does."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        other = GENERIC_FACE * rng.normal(1, 0.05, 3) + rng.normal(0, 0.15, GENERIC_FACE.shape)
        assert np.abs(solve(projected((20, 5, 3), shape=other)) - (20, 5, 3)).max() < 5


def test_speech_does_not_turn_the_head():
    points = projected((10, 5, 0))
    speaking = points.copy()
    speaking[48:] += (0, 20)
    speaking[4:13] += (0, 30)
    assert np.allclose(solve(speaking), solve(points))


def test_a_track_has_a_pose_for_each_frame_and_warns_beyond_the_limit():
    poses = [(-10, 0, 0), (20, 0, 0), (40, 0, 0), (45, 0, 0)]
    track = FaceTrack(torch.tensor(np.stack([projected(p) for p in poses])), torch.ones(4), (400, 600), 25)
    pose = head_pose(track)
    assert torch.allclose(pose.degrees, torch.tensor(poses).float(), atol=0.2)
    assert torch.allclose(pose.at(4, 25), pose.degrees, atol=1e-4)
    assert "up to 45 degrees" in warn_of_yaw(track)
    assert "in 2 of 4 frames" in warn_of_yaw(track)
    assert warn_of_yaw(track.part(0, 2)) is None


def test_turns_undo_a_turned_picture():
    for pose in ((20.0, 10.0, 5.0), (-40.0, -15.0, 30.0)):
        matrix = rotation(np.array([pose]))[0]
        assert np.allclose(turns(matrix, 0.0), pose)
    assert np.allclose(turns(rotation(np.array([(0, 0, 25.0)]))[0], np.radians(25)), 0, atol=1e-9)
