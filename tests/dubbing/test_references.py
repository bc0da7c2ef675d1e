"""References: shut mouths of like pose within the scene, and few of them; then wide open ones."""

import numpy as np

from talkface_core.dubbing import references
from talkface_core.dubbing.references import FAR, MOST, choose_references, farthest_point_sampling
from talkface_core.faces.align import FaceCrop

from .conftest import FRAMES, SIZE


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
