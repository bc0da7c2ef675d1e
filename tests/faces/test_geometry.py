"""Heads turned and projected by hand, taken back to the head's own frame."""

import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.faces import geometry
from talkface_core.faces.landmarks import STABLE, landmark_distance


@pytest.fixture
def face() -> np.ndarray:
    """68 points in cm whose rigid ones have their mean at the origin."""
    points = np.random.default_rng(0).normal(size=(68, 3)) * (4, 5, 2)
    return points - points[list(STABLE)].mean(0)


@pytest.fixture
def pose() -> np.ndarray:
    return np.random.default_rng(1).uniform(-20, 20, (9, 3))


def projected(heads: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Parallel projection of heads [T,68,3] into a picture, y down, of another scale and place in each frame."""
    turned = np.einsum("tij,tpj->tpi", geometry.rotation(pose), heads)[..., :2]
    scale = np.linspace(3, 5, len(heads))[:, None, None]
    return turned * scale * (1, -1) + np.arange(2 * len(heads)).reshape(-1, 1, 2)


def test_rotation_has_the_signs_of_the_truth():
    to_us = np.array([0.0, 0.0, 1.0])
    yaw, pitch, roll = geometry.rotation(np.array([[30.0, 0, 0], [0, 30.0, 0], [0, 0, 30.0]]))
    assert (yaw @ to_us)[0] == pytest.approx(0.5)  # the nose to the right of the picture
    assert (pitch @ to_us)[1] == pytest.approx(-0.5)  # the nose down
    assert (roll @ [1.0, 0, 0])[1] == pytest.approx(0.5)  # counter-clockwise
    both = geometry.rotation(np.array([[20.0, 10, 5]]))[0]
    parts = [geometry.rotation(np.array([p]))[0] for p in ([20.0, 0, 0], [0, 10.0, 0], [0, 0, 5.0])]
    np.testing.assert_allclose(both, parts[0] @ parts[1] @ parts[2], atol=1e-12)


def test_mean_face_undoes_every_frames_turn_and_place(face, pose):
    heads = np.einsum("tij,pj->tpi", geometry.rotation(pose), face) + np.arange(len(pose))[:, None, None]
    np.testing.assert_allclose(geometry.mean_face(heads, pose), face, atol=1e-9)


def test_similarity_finds_turn_scale_and_shift(face):
    target = np.repeat(face[None, :, :2], 3, 0)
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(geometry.align_points(2.5 * target @ turn.T + (7, -3), target), target, atol=1e-9)


def test_similarity_looks_at_the_rigid_points_alone(face):
    target = face[None, :, :2]
    smiling = target.copy()
    smiling[:, 48:68] += 1.0
    np.testing.assert_allclose(geometry.align_points(smiling, target)[:, 48:68] - target[:, 48:68], 1.0, atol=1e-9)


def test_similarity_refuses_points_that_coincide():
    with pytest.raises(InputError, match="coincide"):
        geometry.align_points(np.zeros((1, 68, 2)), np.ones((1, 68, 2)))


def test_the_head_frame_is_the_same_from_every_side(face, pose):
    heads = np.repeat(face[None], len(pose), 0)
    heads[:, 48:68, 1] -= np.linspace(0, 1, len(pose))[:, None]  # the mouth drops
    frontal = geometry.in_head_frame(projected(heads, pose), pose, face)
    np.testing.assert_allclose(frontal, heads[..., :2], atol=1e-9)


def test_an_error_in_the_pose_matters_little(face, pose):
    heads = np.repeat(face[None], len(pose), 0)
    true = geometry.in_head_frame(projected(heads, pose), pose, face)
    beside = geometry.in_head_frame(projected(heads, pose), pose + 1.0, face)
    plain = geometry.align_points(projected(heads, pose), projected(heads, np.zeros_like(pose)))
    straight = projected(heads, np.zeros_like(pose))
    assert landmark_distance(beside, true).mean() < 0.3 * landmark_distance(plain, straight).mean()
