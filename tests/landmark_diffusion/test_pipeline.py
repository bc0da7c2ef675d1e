"""Landmark diffusion's mouths for a film: what is asked of the painter, whatever comes in which window."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from talkface_core.dubbing.pipeline import Dubbing, DubRequest, dub
from talkface_core.errors import InputError
from talkface_core.faces.align import align
from talkface_core.faces.geometry import transform
from talkface_core.faces.landmarks import MOUTH
from talkface_core.faces.paste import frame_mask, mouth_mask
from talkface_core.landmark_diffusion import pipeline
from talkface_core.landmark_diffusion.landmarks import IBUG_68
from talkface_core.landmark_diffusion.painter import Sampling, lower_half
from talkface_core.landmark_diffusion.pipeline import LandmarkMouths
from talkface_core.media.playback import frame_order
from tests.dubbing.toys import CountedFilm, Seer, face_points, pictures, sound, tracked
from tests.landmark_diffusion.toys import SIZE, ToyLandmarks, ToyPainter

COMPLETION = SimpleNamespace(completion=SimpleNamespace(config=SimpleNamespace(references=5)))


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return pictures()


@pytest.fixture(scope="module")
def landmarks() -> torch.Tensor:
    return face_points()


@pytest.fixture(autouse=True)
def heard(monkeypatch):
    """The landmarks that films were given, instead of those that a network hears."""
    monkeypatch.setattr(pipeline, "CompletedLandmarks", ToyLandmarks)
    monkeypatch.setattr(ToyLandmarks, "made", [])
    return ToyLandmarks.made


def mouths(painter=None, **settings) -> LandmarkMouths:
    return LandmarkMouths(painter or ToyPainter(), COMPLETION, **settings)


def dubbed(frames, track, source, model=None, **options) -> np.ndarray:
    request = DubRequest(CountedFilm(frames, track.fps), source, track, **options)
    return np.concatenate(list(dub(model or mouths(), request)))


def test_the_upper_half_and_all_around_is_the_films(frames, landmarks):
    track = tracked(landmarks)
    out = dubbed(frames, track, sound(0.4))
    crop = align(track, SIZE)
    outside = (frame_mask(crop, mouth_mask(crop)) == 0).numpy()
    assert np.array_equal(out[outside], frames[outside])
    assert (out[~outside] != frames[~outside]).mean() > 0.3


def test_windows_change_nothing(frames, landmarks):
    """Nor does it matter that the film has cuts and does not show the face for a while."""
    many, points = np.concatenate([frames] * 3), torch.cat([landmarks] * 3)
    valid = [True] * 12 + [False] * 9 + [True] * 9
    track = tracked(points, valid=valid, cuts=(10, 20))
    whole = dubbed(many, track, sound(2.0), window=64)
    for window in (1, 3, 7):
        assert np.array_equal(dubbed(many, track, sound(2.0), window=window), whole)
    assert np.array_equal(whole[13:20], many[13:20])


def test_when_memory_runs_out_it_goes_on_with_the_same_mouths(frames, landmarks):
    track, painter = tracked(landmarks), ToyPainter(most=3)
    again = dubbed(frames, track, sound(0.8), mouths(painter))
    assert np.array_equal(again, dubbed(frames, track, sound(0.8)))
    assert painter.asked[0] > 3 >= painter.asked[-1]


@pytest.mark.parametrize("fps", [12, 25, 60])
def test_landmarks_are_asked_for_in_the_films_own_frames(frames, landmarks, heard, fps):
    out = dubbed(frames, tracked(landmarks, fps), sound(1.0), window=4)
    assert len(out) == fps
    (film,) = heard
    assert (film.fps, film.asked, len(film.landmarks)) == (fps, list(range(fps)), fps)
    assert film.references.shape == (5, 68, 2)
    assert 0 < film.landmarks.min() < film.landmarks.max() < 1


def test_the_landmarks_are_those_of_the_dubbed_films_order(frames, landmarks, heard):
    dubbed(frames, tracked(landmarks, cuts=(4,)), sound(0.8))
    (film,) = heard
    order = frame_order(10, 20, "bounce")
    torch.testing.assert_close(film.landmarks, align(tracked(landmarks), SIZE).landmarks[order] / SIZE)
    assert film.cuts == tuple(k for k in range(1, 20) if (order[k] < 4) != (order[k - 1] < 4))


def test_a_still_picture_speaks(frames, landmarks):
    out = dubbed(frames[:1], tracked(landmarks[:1]), sound(0.4))
    assert len(out) == 10
    assert (out[0] != out[9]).any()


def test_references_are_of_the_scene_and_encoded_once(frames, landmarks):
    """Each scene of its own colour: its references are no other's."""
    many = np.concatenate([frames, frames // 2])
    painter, track = ToyPainter(), tracked(torch.cat([landmarks] * 2), cuts=(10,))
    dubbed(many, track, sound(1.6), mouths(painter), window=4)
    assert painter.encoded <= 10 * 2
    shown = torch.cat([part.colours.mean((1, 2)) for part in painter.shown])
    assert len(shown) == 40
    assert shown[:10].max() - shown[:10].min() < 0.05


def test_little_room_for_references(frames, landmarks, monkeypatch):
    from talkface_core.landmark_diffusion import film_references

    whole = dubbed(frames, tracked(landmarks), sound(0.8))
    monkeypatch.setattr(film_references, "ROOM", 1)
    assert np.array_equal(dubbed(frames, tracked(landmarks), sound(0.8), window=2), whole)


def test_seed_strength_and_guidance_are_the_painters(frames, landmarks):
    plain = dubbed(frames, tracked(landmarks), sound(0.4))
    for other in ({"sampling": Sampling(seed=7)}, {"strength": 0.0}, {"sampling": Sampling(guidance=2.0)}):
        assert (dubbed(frames, tracked(landmarks), sound(0.4), mouths(**other)) != plain).any()
    dubbing = Dubbing(mouths(strength=0.5), DubRequest(CountedFilm(frames), sound(0.4), tracked(landmarks)))
    list(dubbing.frames())
    assert dubbing.settings["strength"] == 0.5
    assert {"steps", "seed", "guidance"} <= dubbing.settings.keys()


def test_given_landmarks_are_painted_as_they_are(frames, landmarks, heard):
    """Nothing is heard; the references are where the footage's own landmarks say."""
    track = tracked(landmarks)
    moved = landmarks.clone()
    moved[:, MOUTH, 1] += 6
    goal = replace(track, landmarks=moved)
    painter = ToyPainter()
    model = LandmarkMouths(painter, goal=goal)
    out = dubbed(frames, track, sound(0.4), model)
    assert not heard
    assert (out != dubbed(frames, track, sound(0.4), LandmarkMouths(ToyPainter(), goal=track))).any()
    own = align(track, SIZE).landmarks / SIZE
    for shown in painter.shown:
        assert all((own == one).all((1, 2)).any() for one in shown.landmarks.flatten(0, 1))
    with pytest.raises(InputError, match="of 4 frames"):
        dubbed(frames, track, sound(0.4), LandmarkMouths(painter, goal=goal.part(0, 4)))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_jaws_sides_are_painted_where_the_film_shows_them(frames, landmarks, monkeypatch, guidance):
    """Beside them the film's own cheeks remain; the chin and the lips are as they are asked for."""
    asked = []

    def paint(self, faces, points, references, sampling, rest=None, callback=None):
        asked.append((points, rest))
        return faces

    monkeypatch.setattr(ToyPainter, "paint", paint)
    goal = landmarks.clone()
    goal[:, list(IBUG_68.content)] += torch.tensor([0.0, 5.0])
    settings = {"goal": replace(tracked(landmarks), landmarks=goal), "sampling": Sampling(guidance=guidance)}
    dubbed(frames, tracked(landmarks), sound(0.4), LandmarkMouths(ToyPainter(), **settings))
    place = align(tracked(landmarks), SIZE).matrices
    own, wanted = (transform(place, points) / SIZE for points in (landmarks, goal))
    points, ends, free = torch.cat([one for one, _ in asked]), [3, 4, 12, 13], [7, 8, 9, *IBUG_68.lips]
    torch.testing.assert_close(points[:, ends], own[:, ends])
    torch.testing.assert_close(points[:, free], wanted[:, free])
    torch.testing.assert_close(points[:, 5], torch.lerp(wanted[:, 5], own[:, 5], IBUG_68.sides[2]))
    still = [one for _, one in asked if one is not None]
    assert len(still) == (0 if guidance == 1 else len(asked))
    if still:
        torch.testing.assert_close(torch.cat(still)[:, ends], own[:, ends])


def test_the_film_is_gone_through_twice(frames, landmarks):
    film = CountedFilm(frames)
    list(dub(mouths(), DubRequest(film, sound(0.4), detector=Seer(landmarks))))
    assert film.passes == [10, 10]


def test_what_is_told_as_paint(frames, landmarks):
    dubbing = Dubbing(mouths(), DubRequest(CountedFilm(frames), sound(0.4), tracked(landmarks)))
    told = np.concatenate([paint for _, paint in dubbing.frames_and_paint()])
    assert (told.max((1, 2)) > 0.9).all()
    half = lower_half(SIZE)
    assert not half[: SIZE // 2].any()
    assert (half[SIZE // 2 + 3 :] == 1).all()


def test_memory_grows_with_the_window():
    assert mouths().memory(8) == 8 * mouths().memory(1) > 0


@pytest.mark.parametrize("strength", [-0.1, 2.5, float("nan")])
def test_wrong_strengths(strength):
    with pytest.raises(InputError, match=f"strength {strength}"):
        mouths(strength=strength)
    with pytest.raises(InputError, match="nothing says where lips"):
        LandmarkMouths(ToyPainter())
