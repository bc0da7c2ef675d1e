"""Squares of pictures: where they were cut, about mouth and eyes or anywhere."""

import numpy as np
import torch

from talkface_core.faces.landmarks import EYES, MOUTH
from talkface_core.faces.squares import draw_corners, squares


def drawn(mouth: float, eyes: float, seed: int = 0) -> np.ndarray:
    """Of pictures of 64 px whose mouth is at (40, 50) and whose eyes are at (10, 20)."""
    landmarks = np.zeros((50, 68, 2))
    landmarks[:, MOUTH], landmarks[:, EYES] = (40, 50), (10, 20)
    return draw_corners(landmarks, 4, 16, 64, mouth, eyes, np.random.default_rng(seed))


def test_a_square_shows_the_place_of_its_corner() -> None:
    picture = torch.arange(16.0).expand(3, 16, 16) + 20 * torch.arange(16.0)[:, None]
    cut = squares(picture[None], torch.tensor([[[3, 5], [0, 8]]]), 6)
    assert cut.shape == (2, 3, 6, 6)
    assert torch.equal(cut[0], picture[:, 5:11, 3:9])
    assert torch.equal(cut[1], picture[:, 8:14, 0:6])


def test_gradients_reach_what_is_cut_out_alone() -> None:
    picture = torch.zeros(1, 1, 8, 8, requires_grad=True)
    squares(picture, torch.tensor([[[2, 1]]]), 3).sum().backward()
    wanted = torch.zeros(8, 8)
    wanted[1:4, 2:5] = 1
    assert torch.equal(picture.grad[0, 0], wanted)


def test_they_lie_about_what_is_named_and_within_the_picture() -> None:
    mouth, eyes, both, none = drawn(1, 0), drawn(0, 1), drawn(0.5, 0.3), drawn(0, 0)
    assert all(corners.min() >= 0 and corners.max() <= 48 for corners in (mouth, eyes, both, none))
    assert np.abs(mouth - (32, 42)).max() <= 4
    assert np.abs(eyes - (2, 12)).max() <= 4
    near = np.abs(both - (32, 42)).max(-1) <= 4
    assert 0.35 < near.mean() < 0.65
    assert none.std((0, 1)).min() > 10
    assert np.array_equal(both, drawn(0.5, 0.3))
    assert not np.array_equal(both, drawn(0.5, 0.3, seed=1))
