"""Which mouths count as readable: by certainty and yaw, averaged over time, with warnings that say the numbers."""

import logging
import math

import pytest
import torch

from talkface_core.faces.readable import HOPELESS, KNOWN, TURNED, mark_readable
from talkface_core.faces.track import FaceTrack

SURE, UNKNOWN = KNOWN + 0.1, math.nan


def marked(certainty, yaw=None, cuts=(), valid=None) -> str:
    frames = len(certainty)
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(0)).expand(frames, 68, 2) * 50
    track = FaceTrack(points, torch.ones(frames) if valid is None else torch.tensor(valid), (90, 120), 25, cuts)
    turned = torch.zeros(frames) if yaw is None else torch.tensor(yaw)
    return "".join("x" if r else "-" for r in mark_readable(track, torch.tensor(certainty), turned))


def test_known_faces_and_silent_detectors_pass_without_a_word(caplog):
    with caplog.at_level(logging.WARNING):
        assert marked([SURE] * 9) == "x" * 9
        assert marked([UNKNOWN] * 9, [UNKNOWN] * 9) == "x" * 9
    assert not caplog.records


def test_doubtful_lips_are_warned_of_and_hopeless_ones_left(caplog):
    doubtful = (KNOWN + HOPELESS) / 2
    with caplog.at_level(logging.WARNING):
        assert marked([SURE] * 20 + [doubtful] * 20) == "x" * 40
        assert "expect a poorer mouth" in caplog.records[-1].getMessage()
        assert marked([SURE] * 20 + [0.0] * 20 + [SURE] * 20).strip("x").count("-") == pytest.approx(20, abs=6)
    words = caplog.records[-1].getMessage()
    assert f"where known faces have {KNOWN:g} or more" in words
    assert "left as they are" in words


def test_one_frame_of_doubt_does_not_make_the_mouth_flicker():
    assert marked([SURE] * 10 + [HOPELESS / 2] + [SURE] * 10) == "x" * 21
    assert marked([HOPELESS / 2] * 10 + [KNOWN] + [HOPELESS / 2] * 10) == "-" * 21


def test_scenes_and_frames_without_a_face_are_not_mixed():
    certainty = [SURE] * 5 + [0.0] * 5
    assert marked(certainty, cuts=(5,)) == "xxxxx-----"
    assert marked([0.0] * 3 + [SURE] * 7, valid=[False] * 3 + [True] * 7) == "x" * 10


def test_heads_that_turn_away_are_left(caplog):
    with caplog.at_level(logging.WARNING):
        assert marked([SURE] * 20, [TURNED - 1.0] * 10 + [-TURNED - 9] * 10, cuts=(10,)) == "x" * 10 + "-" * 10
    assert "up to 54 degrees from the front; in 10 of 20 frames further than 45" in caplog.records[-1].getMessage()
