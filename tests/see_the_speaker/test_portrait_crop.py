"""The head's crop stands still while the head moves."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.align import crop_faces
from talkface_core.faces.geometry import GENERIC_FACE
from talkface_core.see_the_speaker.portrait_crop import crop_places, portrait_crop


def faces(shifts: list[float]) -> torch.Tensor:
    flat = torch.tensor(GENERIC_FACE[:, :2] * [5, -5], dtype=torch.float32) + torch.tensor([120.0, 130.0])
    return torch.stack([flat + torch.tensor([shift, 0.0]) for shift in shifts])


def test_one_square_for_all_frames():
    crop = portrait_crop(faces([-4.0, 0.0, 4.0]), (240, 260), 128, 1.4)
    assert torch.equal(crop.matrices[0], crop.matrices[2])
    moved = crop.landmarks[2] - crop.landmarks[0]
    assert torch.allclose(moved[:, 0], 8 * crop.scales()[0], atol=1e-3)
    assert moved[:, 1].abs().max() < 1e-3


def test_a_wider_reach_shows_more():
    points = faces([0.0])
    narrow, wide = (portrait_crop(points, (240, 260), 128, reach) for reach in (1.0, 2.0))
    assert torch.allclose(narrow.scales(), 2 * wide.scales())
    eyes = wide.landmarks[0, 36:48].mean(0) / 128
    assert abs(eyes[0] - 0.5) < 0.01
    assert 0.4 < eyes[1] < 0.5


def test_a_turned_head_is_cut_upright():
    points = faces([0.0])
    turn = torch.tensor([[0.9, 0.3], [-0.3, 0.9]])
    matrix = portrait_crop(points @ turn, (240, 260), 128, 1.4).matrices[0]
    assert matrix[0, 1] == matrix[1, 0] == 0
    assert matrix[0, 0] == matrix[1, 1]


def test_it_cuts_frames():
    crop = portrait_crop(faces([0.0, 1.0]), (240, 260), 32, 1.4)
    frames = np.full((2, 240, 260, 3), 7, np.uint8)
    assert (crop_faces(frames, crop) == 7).all()
    assert crop_places(torch.tensor([0.0, 16.0, 32.0]), 32).tolist() == [-1, 0, 1]


@pytest.mark.parametrize("shape", [(0, 68, 2), (3, 21, 2), (68, 2)])
def test_landmarks_that_are_none(shape):
    with pytest.raises(InputError, match="68"):
        portrait_crop(torch.zeros(shape), (240, 260), 128, 1.4)
