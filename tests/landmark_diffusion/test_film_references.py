"""References of a film: every frame has another beside it, and what is kept is bounded."""

import numpy as np
import torch

from talkface_core.landmark_diffusion import film_references
from talkface_core.landmark_diffusion.film_references import FilmReferences, some_reference
from tests.landmark_diffusion.toys import SIZE, ToyReferences


def test_who_has_none_gets_the_nearest_of_the_scene():
    chosen = np.array([[2], [2], [2], [3], [4], [5], [7], [7]])
    usable = np.array([True, True, True, True, False, True, True, True])
    out = some_reference(chosen, usable, [slice(0, 5), slice(5, 8)])[:, 0]
    assert out.tolist() == [2, 2, 2, 2, 2, 7, 7, 7]
    assert chosen[3] == 3


def test_of_another_moment_where_there_is_one():
    chosen = np.array([[0], [6], [0], [0], [6], [0], [6]])
    out = some_reference(chosen, np.ones(7, bool), [slice(0, 7)], away=3)[:, 0]
    assert out.tolist() == [6, 6, 0, 0, 6, 0, 0]


def test_a_scene_of_one_kind_and_one_that_shows_nobody():
    chosen = np.arange(4)[:, None]
    out = some_reference(chosen, np.array([True, True, False, False]), [slice(0, 2), slice(2, 4)])[:, 0]
    assert out.tolist() == [1, 1, 2, 3]


def film(count, seen):
    def encode(pictures, landmarks):
        seen.append(len(pictures))
        return ToyReferences(pictures.mean((2, 3)), landmarks)

    cut = {k: np.full((SIZE, SIZE, 3), 100 + k, np.uint8) for k in range(count)}
    chosen = np.stack([np.arange(count), np.arange(count)[::-1]], 1)
    points = torch.arange(count).float()[:, None, None].expand(count, 68, 2)
    return FilmReferences(encode, chosen, cut, points, torch.device("cpu")), chosen


def test_each_is_encoded_once_while_there_is_room(monkeypatch):
    for room in (2**20, 1):
        monkeypatch.setattr(film_references, "ROOM", room)
        seen = []
        references, chosen = film(20, seen)
        for frames in ([0, 1], [1, 2, 3], [10], [19, 0], range(20)):
            encoded, places = references.at(frames)
            shown = encoded.at(places)
            assert (shown.landmarks[:, :, 0, 0].numpy() == chosen[list(frames)]).all()
            assert np.allclose(shown.colours[..., 0].numpy() * 255, 100 + chosen[list(frames)])
        assert max(seen) <= 8
        assert (sum(seen) == 20) == (room > 1)
