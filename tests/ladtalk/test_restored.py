"""Another system's mouths restored by the SOVQAE: where, how far, and what remains of the other's ways."""

import numpy as np
import pytest
import torch

from talkface_core.dubbing.pipeline import Dubbing, DubRequest, dub
from talkface_core.errors import InputError
from talkface_core.ladtalk.restored import RestoredMouths
from tests.dubbing.toys import CountedFilm, ToyMouths, face_points, pictures, sound, tracked
from tests.ladtalk.small_sovqae import sovqae


def dubbed(model, frames, landmarks):
    dubbing = Dubbing(model, DubRequest(CountedFilm(frames), sound(0.4), tracked(landmarks)))
    return np.concatenate(list(dubbing.frames())), dubbing.settings


def test_what_is_painted_is_restored_as_far_as_is_said():
    frames, landmarks = pictures(), face_points()
    plain, _ = dubbed(ToyMouths(), frames, landmarks)
    for strength, changed in ((0.0, False), (0.5, True), (1.0, True)):
        out, settings = dubbed(RestoredMouths(ToyMouths(), sovqae(), strength), frames, landmarks)
        assert settings == {"wanted": 0, "texture": strength}
        assert (out != plain).any() == changed
    one, other = (
        dubbed(RestoredMouths(ToyMouths(share=torch.zeros(32, 32)), sovqae(seed=seed), 1.0), frames, landmarks)[0]
        for seed in (0, 1)
    )
    assert np.array_equal(one, other), "nothing is paint"


def test_the_strength_is_matched_to_the_film():
    frames, landmarks = pictures(), face_points()
    _, settings = dubbed(RestoredMouths(ToyMouths(), sovqae()), frames, landmarks)
    assert 0 <= settings["texture"] <= 1
    grey = np.full_like(frames, 90)
    assert dubbed(RestoredMouths(ToyMouths(), sovqae()), grey, landmarks)[1]["texture"] == 0


def test_windows_and_memory_are_the_others():
    frames, landmarks = pictures(), face_points()
    inner = ToyMouths(most=3, window=5)
    out = np.concatenate(
        list(dub(RestoredMouths(inner, sovqae(), 1.0), DubRequest(CountedFilm(frames), sound(0.4), tracked(landmarks))))
    )
    assert len(out) == 10
    assert [len(part) for part in inner.painters[0].asked][:2] == [5, 2]
    assert RestoredMouths(inner, sovqae()).crop_size == inner.crop_size


@pytest.mark.parametrize("strength", [1.5, -0.1, float("nan")])
def test_wrong_strengths(strength):
    with pytest.raises(InputError, match=f"strength {strength}"):
        RestoredMouths(ToyMouths(), sovqae(), strength)
