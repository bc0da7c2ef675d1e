"""Labels at the centre of frames, and mouths and eyes that mean the same for all."""

import numpy as np
import pytest

from talkface_core.datasets.labels import IGNORE, MOUTH_WEIGHTS, VISEMES, eye_track, mouth_targets, viseme_track
from talkface_core.errors import InputError


def test_visemes_are_taken_at_the_centre_of_the_frame():
    track = viseme_track([["b", "BV", 0.0, 0.06], ["ay", "AA+I", 0.06, 0.14], ["?", "none", 0.14, 0.2]], 6)
    names = [VISEMES[v] if v != IGNORE else None for v in track]
    # Centres at 20, 60, 100, 140, 180, 220 ms.
    assert names == ["PP", "AA", "AA", None, None, None]


def test_blendshapes_are_chosen_by_name_and_landmarks_stand_in():
    names = ["browDown_L", *reversed(MOUTH_WEIGHTS)]
    weights = np.random.default_rng(0).random((5, len(names)), np.float32)
    truth = {"weights": weights, "names": np.array(names), "mouth_open": np.arange(5.0)}
    mouth = mouth_targets(truth)
    np.testing.assert_array_equal(mouth[:, 0], weights[:, names.index("jawOpen")])
    np.testing.assert_array_equal(mouth[:, -1], np.arange(5))
    points = np.random.default_rng(1).random((5, 68, 2))
    lips = mouth_targets({"landmarks": points})
    assert lips.shape == (5, 41)
    # Neither the place nor the size of the face counts.
    np.testing.assert_allclose(mouth_targets({"landmarks": 3 * points + 40}), lips, rtol=1e-3, atol=1e-4)
    assert mouth_targets({"pose": np.zeros((5, 3))}) is None


def test_eyes_are_relative_to_the_open_eye():
    track = eye_track(np.array([0.3] * 18 + [0.0, 0.15]))
    assert track[0] == 1.0
    assert track[-2:].tolist() == pytest.approx([0.0, 0.5])


@pytest.mark.parametrize(
    "phonemes", [3, [3], [["a", "AA", 0.0]], [["a", "AA", "x", 1]], [["a", "AA", [], 1]], np.zeros((9, 9))]
)
def test_phonemes_that_are_none(phonemes: object) -> None:
    with pytest.raises(InputError, match="phonemes are lists of") as caught:
        viseme_track(phonemes, 4)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_their_names() -> None:
    truth = {"weights": np.zeros((4, 3)), "mouth_open": np.zeros(4), "names": np.array(MOUTH_WEIGHTS)}
    assert mouth_targets(truth) is None
