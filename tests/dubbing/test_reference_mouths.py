"""References laid into faces: their mouths alone, moved along with the nose, in the light of the frame."""

import numpy as np
import pytest
import torch

from talkface_core.dubbing.light import luma_chroma
from talkface_core.dubbing.reference_mouths import ReferenceMouths, in_light_of, moved_mouth

from .conftest import FRAMES, SIZE


def test_the_mouth_is_the_others_and_the_rest_ones_own(crop):
    chosen = np.arange(FRAMES)
    chosen[[4, 6]] = [10, 11]
    chosen = np.stack([chosen, np.arange(FRAMES)], 1)
    other = np.full((SIZE, SIZE, 3), 50, np.uint8)
    column, row = crop.landmarks[10, 48:60].numpy().mean(0).round().astype(int)
    other[row - 3 : row + 4, column - 5 : column + 6] = 200
    mouths = ReferenceMouths(crop, chosen, {10: other})
    faces = torch.full((3, 3, SIZE, SIZE), 50 / 255)
    both = mouths.composite(faces, [4, 5, 6])
    assert both.shape == (3, 2, 3, SIZE, SIZE)
    assert torch.equal(both[:, 1], faces)
    composed = both[:, 0].permute(0, 2, 3, 1) * 255
    assert (faces == 50 / 255).all()
    assert (composed[1:] == 50).all(), "none chosen, and none cut"
    lips = crop.landmarks[4, 48:60].numpy()
    x, y = lips.mean(0).round().astype(int)
    assert composed[0][y, x].min() > 195
    top, bottom = lips[:, 1].min() - 12, lips[:, 1].max() + 12
    rows = np.arange(SIZE)
    assert (composed[0][(rows < top) | (rows > bottom)] == 50).all()


def test_the_mouth_moves_along_with_the_nose():
    other = np.zeros((SIZE, SIZE, 3), np.uint8)
    points = np.random.default_rng(2).uniform(40, 56, (68, 2)).astype(np.float32)
    other[48, 48] = 255
    moved, weight = moved_mouth(other, points + np.float32([3, 5]), points)
    assert np.unravel_index((moved[..., 0] * weight).argmax(), (SIZE, SIZE)) == (53, 51)
    assert weight.max() == 1
    assert weight[:20].max() == 0


def skin_and_mouth(skin: tuple[float, ...], lips: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """A crop [1,3,32,32] of one skin with lips, and where its mouth is [1,1,32,32]."""
    face, mouth = torch.tensor(skin).view(1, 3, 1, 1).repeat(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    face[:, :, 18:24, 10:22] = torch.tensor(lips).view(1, 3, 1, 1)
    mouth[:, :, 17:25, 9:23] = 1
    return face, mouth


@pytest.mark.parametrize("share", [1.0, 0.4, 0.06, 1.2])
def test_a_reference_is_brought_into_the_light_of_its_frame(share):
    bright, mouth = skin_and_mouth((0.8, 0.6, 0.5), (0.7, 0.35, 0.35))
    moved, fits = in_light_of(bright, share * bright, mouth)
    assert fits == 1
    assert torch.allclose(moved, (share * bright).clamp(0, 1), atol=0.02)


def test_a_reference_in_colour_is_grey_in_a_grey_frame():
    coloured, mouth = skin_and_mouth((0.8, 0.6, 0.5), (0.7, 0.35, 0.35))
    grey = luma_chroma(coloured)[0].expand(-1, 3, -1, -1)
    moved, fits = in_light_of(coloured, grey, mouth)
    assert fits == 1
    assert torch.allclose(moved, grey, atol=0.02)


def test_grey_and_black_references_fit_no_ordinary_frame():
    coloured, mouth = skin_and_mouth((0.8, 0.6, 0.5), (0.7, 0.35, 0.35))
    grey = luma_chroma(coloured)[0].expand(-1, 3, -1, -1)
    for other in (grey, 0.03 * coloured):
        assert in_light_of(other, coloured, mouth)[1] == 0
