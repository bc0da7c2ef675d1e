"""References that are given: which are shown, and that the painter sees them instead of the film's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.dubbing.pipeline import DubRequest, dub
from talkface_core.errors import InputError
from talkface_core.faces.align import align
from talkface_core.faces.landmarks import mouth_opening
from talkface_core.landmark_diffusion.given_references import GivenReferences
from talkface_core.landmark_diffusion.pipeline import LandmarkMouths
from tests.dubbing.toys import CountedFilm, face_points, pictures, sound, tracked
from tests.landmark_diffusion.small_landmark_diffusion import small_painter


@pytest.fixture(scope="module")
def track():
    return tracked(face_points())


def given(track, count=10) -> GivenReferences:
    return GivenReferences(torch.from_numpy(pictures())[:count], track.part(0, count))


def test_a_shut_and_a_wide_open_mouth_are_shown(track):
    shown = given(track)
    own = shown.crop(64)
    chosen = shown.choose(own, own.landmarks / 64, 2)
    opening = mouth_opening(track.landmarks.numpy())
    assert chosen.shape == (10, 2)
    assert (opening[chosen[:, 0]] <= np.quantile(opening, 0.2)).all()
    assert (opening[chosen[:, 1]] >= np.quantile(opening, 0.8)).all()
    assert set(shown.cut(own, np.unique(chosen))) == set(np.unique(chosen).tolist())


def test_one_picture_serves_for_all(track):
    shown = given(track, 1)
    assert not shown.choose(shown.crop(64), align(track, 64).landmarks / 64, 2).any()


def test_a_picture_that_shows_no_face_is_none(track):
    points = track.landmarks.clone()
    valid = torch.tensor([False] * 9 + [True])
    shown = GivenReferences(torch.from_numpy(pictures()), replace(track, landmarks=points, valid=valid))
    assert (shown.choose(shown.crop(64), points, 2) == 9).all()


def test_the_painter_sees_them(track):
    """Even where they are of another size; and as a whole film of the footage's frames they are nearly its own."""
    film = CountedFilm(pictures())

    def painted(shown=None):
        model = LandmarkMouths(small_painter(), goal=track, shown=shown)
        return np.concatenate(list(dub(model, DubRequest(film, sound(0.4), track))))

    dark = torch.from_numpy(pictures()) // 2
    assert (painted() != painted(GivenReferences(dark, track))).any()
    large = dark.repeat_interleave(2, 1).repeat_interleave(2, 2)
    twice = replace(track, landmarks=2 * track.landmarks, size=(2 * track.size[0], 2 * track.size[1]))
    close = np.abs(painted(GivenReferences(large, twice)).astype(int) - painted(GivenReferences(dark, track)))
    assert close.mean() < 1


def test_what_is_wrong(track):
    with pytest.raises(InputError, match="give the frames that the face was found in"):
        GivenReferences(torch.from_numpy(pictures())[:3], track)
    with pytest.raises(InputError, match="none of 10 reference images"):
        GivenReferences(torch.from_numpy(pictures()), replace(track, valid=torch.zeros(10, dtype=torch.bool)))
