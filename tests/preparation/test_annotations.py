"""Openings, pose and box read off landmarks alone, against the truth that a renderer wrote."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from talkface_core.correlation import pearson
from talkface_core.datasets.clips import PER_FRAME, ClipSet
from talkface_core.faces.track import FaceTrack
from talkface_core.preparation.annotations import face_annotations

from .conftest import FIXTURES


@pytest.fixture(scope="module")
def both():
    truth = ClipSet.open(FIXTURES).clips[0].truth()
    points = torch.from_numpy(truth["landmarks"])
    track = FaceTrack(points, torch.ones(len(points), dtype=torch.bool), (128, 128), Fraction(25))
    return face_annotations(track), truth


def test_mouth_and_eyes_follow_the_truth(both):
    annotated, truth = both
    assert pearson(annotated["mouth_open"], truth["mouth_open"]) > 0.99
    assert np.polyfit(truth["mouth_open"], annotated["mouth_open"], 1)[0] == pytest.approx(1, abs=0.1)
    assert annotated["mouth_open"].min() >= 0
    assert annotated["mouth_open"][truth["mouth_open"] == 0].max(initial=0) < 0.01
    assert np.abs(annotated["eye_open"] - truth["eye_open"]).max() < 0.03


def test_pose_is_near_the_truth(both):
    annotated, truth = both
    assert np.abs(annotated["pose"] - truth["pose"]).mean(0).max() < 4


def test_arrays_have_the_shapes_that_recipes_read(both):
    annotated, _ = both
    assert {key for key in annotated if key in PER_FRAME} == set(annotated) - {"valid"}
    assert {key: value.shape for key, value in annotated.items()} == {
        "landmarks": (30, 68, 2),
        "valid": (30,),
        "pose": (30, 3),
        "mouth_open": (30,),
        "eye_open": (30,),
        "eye_open_lr": (30, 2),
        "box": (30, 4),
    }
    low, high = annotated["landmarks"].min(1), annotated["landmarks"].max(1)
    assert (annotated["box"][:, :2] < low).all()
    assert (annotated["box"][:, 2:] > high).all()
