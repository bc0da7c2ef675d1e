"""Tracks whose mouths say a sound: as dubbing completes them, to be looked at, changed, and then painted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.dubbing.pipeline import DubRequest, dub
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.complete_track import KNOWN, complete_track
from talkface_core.landmark_diffusion.pipeline import LandmarkMouths
from tests.dubbing.toys import CountedFilm, face_points, pictures, sound, tracked
from tests.landmark_diffusion.small_landmark_diffusion import small_completions, small_painter

CONTENT, POSE = list(KNOWN.content), list(KNOWN.pose)


@pytest.fixture(scope="module")
def model():
    return small_completions()


@pytest.fixture(scope="module")
def track():
    return tracked(face_points(), valid=[True] * 8 + [False] * 2, cuts=(5,))


@pytest.mark.parametrize("length", ["bounce", "stop", "once"])
def test_painted_it_gives_what_dubbing_gives(model, track, length):
    """Longer than the footage, as long and shorter."""
    film = CountedFilm(pictures())
    for seconds in (0.2, 1.0):
        goal = complete_track(model, sound(seconds), track, length)
        direct = dub(LandmarkMouths(small_painter(), model), DubRequest(film, sound(seconds), track, length=length))
        frames = len(goal) / 25
        painted = dub(LandmarkMouths(small_painter(), goal=goal), DubRequest(film, sound(frames), track))
        wanted, got = (np.concatenate(list(chunks)) for chunks in (direct, painted))
        assert got.shape == wanted.shape
        assert np.abs(got.astype(int) - wanted).mean() < 0.02


def test_only_lips_and_jaw_move(model, track):
    goal = complete_track(model, sound(0.4), track)
    assert torch.equal(goal.landmarks[:, POSE], track.landmarks[:, POSE])
    assert (goal.landmarks[:, CONTENT] != track.landmarks[:, CONTENT]).any()
    assert torch.equal(goal.valid, track.valid)
    assert (goal.cuts, goal.size, goal.fps) == (track.cuts, track.size, track.fps)


def test_strength_scales_the_motion_and_smoothing_calms_it(model, track):
    def motion(**settings):
        return complete_track(model, sound(0.4), track, **settings).landmarks - still.landmarks

    still = complete_track(model, sound(0.4), track, strength=0.0)
    assert torch.allclose(motion(strength=2.0), 2 * motion(), atol=1e-3)
    plain, calm = (motion(smoothing=s)[:, CONTENT].diff(dim=0).abs().mean() for s in (0.0, 1.0))
    assert calm < 0.7 * plain


def test_another_track_shows_how_the_mouth_moves(model, track):
    """Of other frames, of another size."""
    other = replace(track, landmarks=track.landmarks.clone() * 1.5, size=(400, 500))
    other.landmarks[:, 57, 1] += 30
    first, second = (complete_track(model, sound(0.4), track, reference=shown) for shown in (None, other))
    assert (first.landmarks != second.landmarks).any()
    same = complete_track(model, sound(0.4), track, reference=track)
    assert torch.equal(first.landmarks, same.landmarks)


def test_progress_is_told(model, track):
    told = []
    complete_track(model, sound(3.0), track, progress=lambda *step: told.append(step))
    assert told == [(50, 75), (75, 75)]


def test_what_is_wrong(model, track):
    with pytest.raises(InputError, match=r"strength 2\.5"):
        complete_track(model, sound(0.4), track, strength=2.5)
    with pytest.raises(InputError, match="length rule"):
        complete_track(model, sound(0.4), track, "forever")
