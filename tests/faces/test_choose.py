"""Which face is meant, of several."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.choose import FaceChoice
from talkface_core.faces.detect import find_detector
from talkface_core.faces.face import Face, best_first, overlap


def face_at(x: float, y: float, side: float, score: float = 0.9) -> Face:
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]]) * side + torch.tensor([x, y])
    return Face.of(torch.cat([corners, corners.mean(0).expand(66, 2)]), score)


FACES = [face_at(100, 10, 50, 0.6), face_at(10, 20, 40), face_at(200, 80, 60, 0.7)]


def test_a_face_knows_its_box():
    assert FACES[0].box.tolist() == [100, 10, 150, 60]
    assert FACES[0].area == 2500


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (FaceChoice(), 2),
        (FaceChoice("leftmost"), 1),
        (FaceChoice("index", index=0), 1),
        (FaceChoice("index", index=1), 0),
        (FaceChoice("index", index=2), 2),
        (FaceChoice("point", point=(120, 50)), 0),
        (FaceChoice("point", point=(300, 300)), 2),
    ],
)
def test_choices(choice, wanted):
    assert choice.of(FACES) is FACES[wanted]


def test_a_mask_takes_what_it_covers_else_what_is_near():
    mask = torch.zeros(200, 300)
    mask[15:60, 95:160] = 1
    assert FaceChoice("mask", mask=mask).of(FACES) is FACES[0]
    aside = torch.zeros(1, 200, 300)
    aside[0, 190:, 290:] = 1
    assert FaceChoice("mask", mask=aside).of(FACES) is FACES[2]


@pytest.mark.parametrize("scale", [0.25, 1, 2])
def test_a_mask_of_another_size_marks_the_same_face(scale):
    mask = torch.zeros(round(200 * scale), round(300 * scale))
    mask[round(30 * scale) : round(40 * scale), round(110 * scale) : round(120 * scale)] = 1
    choice = FaceChoice("mask", mask=mask).fitted((200, 300))
    assert choice.mask.shape == (200, 300)
    assert choice.of(FACES) is FACES[0]
    with pytest.raises(InputError, match="another shape"):
        FaceChoice("mask", mask=mask).fitted((200, 200))
    assert FaceChoice().fitted((200, 300)) == FaceChoice()


def test_a_dot_does_not_vanish_in_smaller_frames():
    mask = torch.zeros(800, 1200)
    mask[140, 480] = 1
    assert FaceChoice("mask", mask=mask).fitted((200, 300)).of(FACES) is FACES[0]


def test_no_face_is_no_choice():
    assert FaceChoice().of([]) is None
    assert FaceChoice("index", index=3).of(FACES) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "tallest"}, "choose one of largest"),
        ({"kind": "index", "index": -1}, "count from 0"),
        ({"kind": "point"}, "give the point"),
        ({"kind": "mask"}, "give the mask"),
        ({"kind": "mask", "mask": torch.zeros(4, 4)}, "marks no pixel"),
    ],
)
def test_impossible_choices_are_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        FaceChoice(**arguments)


def test_overlap_and_doubles():
    assert overlap(FACES[0].box, FACES[0].box) == 1
    assert overlap(FACES[0].box, FACES[1].box) == 0
    assert overlap(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2])) == pytest.approx(1 / 3)
    double = face_at(102, 11, 50, 0.8)
    assert best_first([*FACES, double]) == [FACES[1], double, FACES[2]]


def test_unknown_detectors_are_refused():
    with pytest.raises(InputError, match="choose one of auto, bundled, face-alignment"):
        find_detector("dlib")
