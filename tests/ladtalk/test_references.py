"""References: shut mouths of like pose within the scene, few of them, and their mouths alone."""

import numpy as np
import pytest
import torch

from talkface_core.dubbing.light import luma_chroma
from talkface_core.faces.align import FaceCrop
from talkface_core.ladtalk import references
from talkface_core.ladtalk.references import (
    FAR,
    MOST,
    ReferenceMouths,
    choose_references,
    farthest_point_sampling,
    in_light_of,
    moved_mouth,
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
    chosen = choose_references(crop, everywhere(crop), [slice(0, FRAMES)])[:, 0]
    others = chosen != np.arange(FRAMES)
    assert others.mean() > 0.7
    assert (chosen[others] % 5 == 0).all()
    assert len(np.unique(chosen[others])) <= MOST
    turned = crop.landmarks.numpy()[:, 0, 0] / SIZE
    assert np.abs(turned[chosen] - turned).max() < FAR


def test_scenes_and_frames_without_the_face_keep_to_themselves(crop):
    usable = everywhere(crop)
    usable[30:40] = False
    chosen = choose_references(crop, usable, [slice(0, 20), slice(20, FRAMES)])[:, 0]
    assert (chosen[:20] < 20).all()
    assert (chosen[20:] >= 20).all()
    assert (chosen[30:40] == np.arange(30, 40)).all()
    assert not np.isin(chosen[40:], np.arange(30, 40)).any()


def test_no_reference_where_the_head_is_turned_otherwise(crop):
    moved = crop.landmarks.clone()
    moved[-1, :48] += 12.0
    far = FaceCrop(crop.matrices, SIZE, crop.image_size, moved)
    assert choose_references(far, everywhere(crop), [slice(0, FRAMES)])[-1] == FRAMES - 1


def test_further_references_show_wide_open_mouths(crop):
    chosen = choose_references(crop, everywhere(crop), [slice(0, FRAMES)], 3)
    assert chosen.shape == (FRAMES, 3)
    np.testing.assert_array_equal(chosen[:, :1], choose_references(crop, everywhere(crop), [slice(0, FRAMES)]))
    others = chosen[:, 1] != np.arange(FRAMES)
    assert others.mean() > 0.7
    assert (chosen[others, 1] % 5 != 0).all()
    np.testing.assert_array_equal(chosen[:, 1], chosen[:, 2])


def test_references_of_another_moment(crop):
    near = choose_references(crop, everywhere(crop), [slice(0, FRAMES)], 2)
    apart = choose_references(crop, everywhere(crop), [slice(0, FRAMES)], 2, away=12)
    own = np.arange(FRAMES)[:, None]
    assert (np.abs(near - own) < 12).any()
    distances = np.abs(apart - own)
    assert ((distances >= 12) | (distances == 0)).all()
    assert (distances >= 12).mean() > 0.5


def test_many_scenes_have_fewer_references_each(crop, monkeypatch):
    """All of them are kept while a film is dubbed."""
    scenes = [slice(k, k + 20) for k in range(0, FRAMES, 20)]
    plenty = choose_references(crop, everywhere(crop), scenes, 2)
    monkeypatch.setattr(references, "MOST_IN_ALL", 6)
    few = choose_references(crop, everywhere(crop), scenes, 2)
    assert len(np.unique(plenty)) > 6 >= len(np.unique(few[few != np.arange(FRAMES)[:, None]]))


def test_spread_out():
    points = np.array([[0.0], [0.1], [5.0], [5.1], [10.0]])
    assert set(farthest_point_sampling(points, 3)[1:]) <= {0, 4}
    assert len(farthest_point_sampling(points, 9)) == 5
    assert farthest_point_sampling(np.zeros((4, 2)), 3).tolist() == [0]


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
