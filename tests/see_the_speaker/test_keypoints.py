"""Keypoints: how heads turn, and what the landmarks tell of a motion."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.geometry import GENERIC_FACE, rotation
from talkface_core.faces.landmarks import MIRROR
from talkface_core.see_the_speaker.keypoints import (
    IRISES,
    MIRRORED,
    TIED,
    apertures,
    lip_gap,
    parted,
    place,
    rotation_matrix,
    tied_points,
)
from talkface_core.see_the_speaker.landmark_motion import UNIT, fitted, head_shape, landmark_motion, mean_shape
from talkface_core.see_the_speaker.motion_extractor import Seen

FLIP = np.diag([1.0, -1.0, -1.0])


def shown(points: torch.Tensor, pose: torch.Tensor, scale: float = 0.9, shift: tuple[float, float] = (0.1, -0.05)):
    """Landmarks [T,68,2] of heads [T,68,3] in a pose [T,3]."""
    turned = points.double() @ rotation_matrix(pose.double())
    return scale * turned[..., :2] + torch.tensor(shift, dtype=torch.float64)


def some_poses(count: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(0).uniform(-25, 25, (count, 3)))


def test_heads_turn_as_the_house_turns_them():
    pose = some_poses(6)
    ours = rotation_matrix(pose).numpy()
    theirs = FLIP @ rotation(pose) @ FLIP  # x right, y down, z away from us
    assert np.allclose(ours.transpose(0, 2, 1), theirs)


def test_the_published_order_is_another_but_of_one_angle_the_same():
    pose = torch.eye(3, dtype=torch.float64) * 20
    assert torch.allclose(rotation_matrix(pose), rotation_matrix(pose, "published"))
    both = torch.tensor([[20.0, 15.0, 10.0]])
    assert not torch.allclose(rotation_matrix(both), rotation_matrix(both, "published"), atol=1e-2)
    with pytest.raises(InputError, match="house, published"):
        rotation_matrix(both, "xyz")


def test_expressions_turn_with_the_head_where_they_are_to():
    canonical, pose = torch.zeros(1, 21, 3), torch.tensor([[90.0, 0.0, 0.0]])
    expression = torch.zeros(1, 21, 3)
    expression[..., 2] = -1.0  # towards us, then turned to the right of the picture
    rest = (rotation_matrix(pose), torch.tensor([[0.5, 0.0, 9.0]]), torch.ones(1, 1))
    turned, kept = (place(canonical, expression, *rest, turns)[0, 0] for turns in (True, False))
    assert torch.allclose(turned, torch.tensor([1.5, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(kept, torch.tensor([0.5, 0.0, -1.0]), atol=1e-6)


def test_partners_of_tied_points_are_those_of_their_landmarks():
    for place_, partner in enumerate(MIRRORED):
        assert {MIRROR[point] for point in TIED[place_]} == set(TIED[partner])
    assert len(TIED) == len(MIRRORED) == 21


def test_the_mean_head_has_no_expression_in_any_pose():
    pose = some_poses(8)
    landmarks = shown(mean_shape().points, pose)
    shape = head_shape(landmarks, pose)
    seen = landmark_motion(landmarks, pose, shape)
    assert seen.expression.abs().max() < 1e-6
    assert torch.allclose(seen.scale, torch.tensor(0.9))
    assert torch.allclose(seen.translation[:, 0], torch.tensor(0.1))
    assert torch.allclose(shape.points, mean_shape().points, atol=1e-6)


def moving_mouth(pose: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    heads = mean_shape().points.repeat(len(pose), 1, 1)
    openings = torch.linspace(0, 1, len(pose), dtype=torch.float64)
    heads[:, [8, 57, 66], 1] += 0.1 * openings[:, None]
    return shown(heads, pose), openings


def test_an_open_mouth_has_the_same_numbers_in_every_pose():
    pose = some_poses(21)
    landmarks, openings = moving_mouth(pose)
    seen = landmark_motion(landmarks, pose, head_shape(landmarks, pose, openings))
    chin, lower, corner = 20, 5, 0
    opened = seen.expression[-1, [chin, lower], 1] - seen.expression[0, [chin, lower], 1]
    assert torch.allclose(opened, torch.tensor(0.1), atol=1e-5)
    assert seen.expression[:, corner].abs().max() < 1e-5


def test_keypoints_lie_on_their_landmarks():
    pose = some_poses(9)
    landmarks, openings = moving_mouth(pose)
    landmarks = landmarks + 0.01 * torch.randn(9, 68, 2, generator=torch.Generator().manual_seed(0))
    seen = landmark_motion(landmarks, pose, head_shape(landmarks, pose, openings))
    matrix = rotation_matrix(seen.rotation.double()).float()
    points = place(seen.canonical, seen.expression, matrix, seen.translation, seen.scale, True)
    assert torch.allclose(points[..., :2], tied_points(landmarks).float(), atol=1e-5)


def test_what_was_seen_is_put_onto_the_landmarks():
    """With its expression kept: of a mouth that stands open the resting one is found. Landmarks tell how far its lips
    are apart, whatever was seen."""
    pose = some_poses(7)
    landmarks, openings = moving_mouth(pose)
    true = landmark_motion(landmarks, pose, head_shape(landmarks, pose, openings))
    wrong = Seen(true.canonical + 0.1, true.expression, true.rotation, true.translation + 0.2, 1.3 * true.scale)
    found = fitted(wrong, landmarks)
    assert torch.allclose(found.canonical, true.canonical, atol=1e-5)
    matrix = rotation_matrix(found.rotation)
    deep = Seen(
        wrong.canonical, wrong.expression + 0.02, *(getattr(wrong, p) for p in ("rotation", "translation", "scale"))
    )
    open_ = replace(wrong, expression=parted(wrong.expression, torch.full((7,), 0.07)))
    misread = fitted(open_, landmarks)
    assert torch.allclose(lip_gap(misread.expression), lip_gap(true.expression), atol=1e-5)
    assert torch.allclose(lip_gap(misread.canonical), lip_gap(true.canonical), atol=1e-5)
    for one in (found, fitted(deep, landmarks), misread):
        points = place(one.canonical, one.expression, matrix, one.translation, one.scale, True)
        assert torch.allclose(points[..., :2], tied_points(landmarks).float(), atol=1e-5)


def test_apertures_are_where_mouth_and_eyes_stand_open():
    pose = torch.zeros(2, 3)
    landmarks, _ = moving_mouth(pose)  # shut, then open
    seen = landmark_motion(landmarks, pose, mean_shape())
    points = place(seen.canonical, seen.expression, rotation_matrix(pose), seen.translation, seen.scale, True)
    shut, opened = apertures(points, 64)
    assert shut[0].max() < 0.1
    assert opened[0].max() > 0.8
    y, x = divmod(int(opened[0].argmax()), 64)
    middle = (points[1, [4, 5], :2].mean(0) + 1) * 32
    assert abs(x + 0.5 - middle[0]) < 4
    assert abs(y + 0.5 - middle[1]) < 1.5
    assert torch.allclose(shut[1:], opened[1:], atol=1e-5)
    assert opened[1][:, 36:].max() < 0.01 < 0.3 < opened[1][:, :28].max()  # the right eye, on the picture's left


def test_a_gaze_moves_the_irises_alone():
    pose = torch.zeros(2, 3)
    landmarks, gaze = shown(mean_shape().points, pose), torch.zeros(2, 2, 2)
    gaze[1, :, 0] = 1.0
    moved = landmark_motion(landmarks, pose, mean_shape(), gaze).expression
    assert torch.allclose(moved[1, list(IRISES), 0], torch.tensor(0.7 * UNIT), atol=1e-6)
    moved[:, list(IRISES)] = 0
    assert moved.abs().max() < 1e-6


@pytest.mark.parametrize(("landmarks", "pose"), [((4, 68, 3), (4, 3)), ((4, 60, 2), (4, 3)), ((4, 68, 2), (3, 3))])
def test_other_shapes_are_refused(landmarks, pose):
    with pytest.raises(InputError, match="expected"):
        landmark_motion(torch.zeros(landmarks), torch.zeros(pose), mean_shape())


def test_seen_names_its_parts_in_order():
    assert tuple(Seen.__dataclass_fields__) == ("canonical", "expression", "rotation", "translation", "scale")
    assert len(GENERIC_FACE) == 68
