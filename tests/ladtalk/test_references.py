"""References: shut mouths of like pose within the scene, few of them, cut out in one pass."""

import numpy as np
import pytest
import torch

from talkface_core.faces.align import FaceCrop, crop_faces
from talkface_core.ladtalk.references import (
    FAR,
    MOST,
    beside,
    choose_references,
    cut_references,
    spread_out,
    with_mouth,
)

SIZE, FRAMES = 96, 60


@pytest.fixture
def crop():
    """A face that turns slowly to the right and opens its mouth every fifth frame but one."""
    chance = np.random.default_rng(0)
    points = np.repeat(chance.uniform(20, 76, (1, 68, 2)), FRAMES, 0)
    points[:, :48, 0] += np.linspace(0, 6, FRAMES)[:, None]
    points[:, 61:64] = points[:, [67, 66, 65]]
    points[np.arange(FRAMES) % 5 != 0, 65:68, 1] += 8
    matrices = torch.tensor([[1.0, 0, -3], [0, 1, -2]]).repeat(FRAMES, 1, 1)
    return FaceCrop(matrices, SIZE, (110, 120), torch.from_numpy(points).float())


def everywhere(crop):
    return np.ones(len(crop), bool)


def test_they_are_shut_near_in_pose_and_few(crop):
    chosen = choose_references(crop, everywhere(crop), [slice(0, FRAMES)])
    others = chosen != np.arange(FRAMES)
    assert others.mean() > 0.7
    assert (chosen[others] % 5 == 0).all()
    assert len(np.unique(chosen[others])) <= MOST
    turned = crop.landmarks.numpy()[:, 0, 0] / SIZE
    assert np.abs(turned[chosen] - turned).max() < FAR


def test_scenes_and_frames_without_the_face_keep_to_themselves(crop):
    usable = everywhere(crop)
    usable[30:40] = False
    chosen = choose_references(crop, usable, [slice(0, 20), slice(20, FRAMES)])
    assert (chosen[:20] < 20).all()
    assert (chosen[20:] >= 20).all()
    assert (chosen[30:40] == np.arange(30, 40)).all()
    assert not np.isin(chosen[40:], np.arange(30, 40)).any()


def test_no_reference_where_the_head_is_turned_otherwise(crop):
    moved = crop.landmarks.clone()
    moved[-1, :48] += 12.0
    far = FaceCrop(crop.matrices, SIZE, crop.image_size, moved)
    assert choose_references(far, everywhere(crop), [slice(0, FRAMES)])[-1] == FRAMES - 1


def test_spread_out():
    points = np.array([[0.0], [0.1], [5.0], [5.1], [10.0]])
    assert set(spread_out(points, 3)[1:]) <= {0, 4}
    assert len(spread_out(points, 9)) == 5
    assert spread_out(np.zeros((4, 2)), 3).tolist() == [0]


@pytest.mark.parametrize("length", [1, 7, 60])
def test_they_are_cut_in_one_pass_that_stops(crop, length):
    frames = np.random.default_rng(1).integers(0, 255, (FRAMES, 110, 120, 3)).astype(np.uint8)
    chosen = np.arange(FRAMES)
    chosen[[3, 4, 20]] = [10, 10, 31]
    read = []

    def chunks():
        for start in range(0, FRAMES, length):
            read.append(start)
            yield frames[start : start + length]

    cut = cut_references(chunks(), crop, chosen)
    assert sorted(cut) == [10, 31]
    assert read[-1] <= 31
    whole = crop_faces(frames, crop)
    assert (cut[31] == whole[31]).all()
    assert cut_references(chunks(), crop, np.arange(FRAMES)) == {}


def test_the_mouth_is_the_others_and_the_rest_ones_own(crop):
    faces = np.full((FRAMES, SIZE, SIZE, 3), 50, np.uint8)
    chosen = np.arange(FRAMES)
    chosen[4] = 10
    cut = {10: np.full((SIZE, SIZE, 3), 200, np.uint8)}
    shown = beside(faces[[4, 5]], [4, 5], crop, chosen, cut)
    assert (shown[1] == 50).all()
    lips = crop.landmarks[4, 48:60].numpy()
    x, y = lips.mean(0).round().astype(int)
    assert shown[0][y, x].min() > 195
    top, bottom = lips[:, 1].min() - 12, lips[:, 1].max() + 12
    rows = np.arange(SIZE)
    assert (shown[0][(rows < top) | (rows > bottom)] == 50).all()


def test_the_mouth_moves_along_with_the_nose(crop):
    face, other = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    points = np.random.default_rng(2).uniform(40, 56, (68, 2)).astype(np.float32)
    other[48, 48] = 255
    made = with_mouth(face, other, points + np.float32([3, 5]), points)
    assert np.unravel_index(made[..., 0].argmax(), (SIZE, SIZE)) == (53, 51)
