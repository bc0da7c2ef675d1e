"""Face tracks: their checks, gaps, cuts, loops, and smoothing that comes neither early nor late."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.track import BRIDGED, FaceTrack, fill, in_sight, smooth


def moving(frames: int = 60, cuts=(), valid=None) -> FaceTrack:
    """A face that moves to the right by one pixel a frame."""
    shape = torch.rand(68, 2, generator=torch.Generator().manual_seed(1)) * 50 + 20
    points = shape + torch.arange(frames)[:, None, None] * torch.tensor([1.0, 0.0])
    valid = torch.ones(frames, dtype=torch.bool) if valid is None else valid
    return FaceTrack(points, valid, (120, 200), Fraction(25), cuts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"landmarks": torch.zeros(3, 5, 2)}, r"\[frames, 68, 2\]"),
        ({"landmarks": torch.full((3, 68, 2), math.nan)}, "NaN"),
        ({"valid": torch.ones(4)}, "valid has shape"),
        ({"readable": torch.ones(2)}, "readable has shape"),
        ({"size": (0, 4)}, "height, width"),
        ({"cuts": (3,)}, "cuts at"),
        ({"fps": 0}, "above zero"),
    ],
)
def test_wrong_tracks_are_refused(change, words):
    right = {"landmarks": torch.zeros(3, 68, 2), "valid": torch.ones(3), "size": (8, 8), "fps": 25}
    with pytest.raises(InputError, match=words):
        FaceTrack(**{**right, **change})


def test_gaps_are_bridged_and_ends_held():
    true = moving(10)
    valid = torch.tensor([0, 1, 1, 0, 0, 1, 1, 1, 0, 0], dtype=torch.bool)
    broken = torch.where(valid[:, None, None], true.landmarks, 999.0)
    track = fill(broken, valid, true.size, true.fps)
    assert track.interpolated == 5
    assert track.valid.equal(valid)
    assert torch.allclose(track.landmarks[1:8], true.landmarks[1:8], atol=1e-4)
    assert track.landmarks[0].equal(true.landmarks[1])
    assert track.landmarks[9].equal(true.landmarks[7])


def test_gaps_are_not_bridged_across_a_cut():
    true = moving(6)
    valid = torch.tensor([1, 0, 0, 0, 0, 1], dtype=torch.bool)
    track = fill(true.landmarks, valid, true.size, true.fps, cuts=(3,))
    assert torch.equal(track.landmarks[:3], true.landmarks[:1].expand(3, -1, -1))
    assert torch.equal(track.landmarks[3:], true.landmarks[5:].expand(3, -1, -1))


def test_a_scene_without_a_face_takes_the_nearest():
    true = moving(6)
    valid = torch.tensor([1, 1, 1, 0, 0, 0], dtype=torch.bool)
    track = fill(true.landmarks, valid, true.size, true.fps, cuts=(3,))
    assert torch.equal(track.landmarks[4], true.landmarks[2])
    with pytest.raises(InputError, match="no face in any of 6 frames"):
        fill(true.landmarks, torch.zeros(6), true.size, true.fps)


def test_smoothing_leaves_steady_motion_and_halves_jitter():
    true = moving()
    noise = torch.randn(true.landmarks.shape, generator=torch.Generator().manual_seed(0))
    jittery = FaceTrack(true.landmarks + noise, true.valid, true.size, true.fps)
    assert torch.allclose(smooth(true, 1.0).landmarks, true.landmarks, atol=1e-3)
    left = (smooth(jittery, 1.0).landmarks - true.landmarks).std()
    assert left < 0.5
    assert left < (smooth(jittery, 0.3).landmarks - true.landmarks).std() < 0.9
    assert smooth(jittery, 0) is jittery


def test_smoothing_has_no_delay():
    wave = torch.sin(torch.arange(100) / 6)[:, None, None].expand(-1, 68, 2) * 10
    track = FaceTrack(wave, torch.ones(100), (50, 50), 25)
    out = smooth(track, 1.0).landmarks[10:90, 0, 0]
    scores = [torch.corrcoef(torch.stack([out, wave[10 + k : 90 + k, 0, 0]]))[0, 1] for k in range(-3, 4)]
    assert max(range(7), key=lambda k: scores[k]) == 3


def test_smoothing_stops_at_cuts_and_trusts_held_frames_less():
    jump = torch.zeros(20, 68, 2)
    jump[10:] = 100
    track = FaceTrack(jump, torch.ones(20), (200, 200), 25, cuts=(10,))
    assert torch.allclose(smooth(track, 1.0).landmarks, jump)
    spike = torch.zeros(21, 68, 2)
    spike[10] = 1
    valid = torch.ones(21, dtype=torch.bool)
    sure = smooth(FaceTrack(spike, valid, (9, 9), 25), 1.0).landmarks[10, 0, 0]
    valid[10] = False
    unsure = smooth(FaceTrack(spike, valid, (9, 9), 25), 1.0).landmarks[10, 0, 0]
    assert unsure < 0.35 * sure


def test_parts_and_loops_know_their_cuts():
    track = moving(10, cuts=(4,))
    assert track.part(2, 8).cuts == (2,)
    assert track.part(4, 8).cuts == ()
    there_and_back = track.at([0, 1, 2, 3, 4, 5, 4, 3, 9])
    assert there_and_back.cuts == (4, 7, 8)
    assert there_and_back.landmarks[8].equal(track.landmarks[9])
    assert track.scenes == (slice(0, 4), slice(4, 10))


def test_parts_and_loops_know_which_mouths_can_be_read():
    track = moving(6)
    assert track.readable.tolist() == [True] * 6
    marked = replace(track, readable=torch.tensor([1, 1, 0, 1, 1, 1]))
    assert marked.part(1, 4).readable.tolist() == [True, False, True]
    assert marked.at([2, 3, 2]).readable.tolist() == [False, True, False]
    assert in_sight(marked).all()
    assert in_sight(replace(track, readable=torch.tensor([0] * 5 + [1])), bridged=0.1).tolist() == [False] * 5 + [True]
    assert not in_sight(replace(track, readable=torch.tensor(False))).any()


def test_measures():
    track = moving(2)
    points = track.landmarks[0]
    assert track.heights()[0] == points[:, 1].max() - points[:, 1].min()


def test_short_gaps_are_bridged_and_long_ones_left():
    points = torch.rand(40, 68, 2) * 50

    def pattern(text: str, fps=25, cuts=()) -> str:
        valid = torch.tensor([c == "x" for c in text])
        track = fill(points[: len(text)], valid, (90, 120), fps, cuts)
        return "".join("x" if v else "-" for v in in_sight(track))

    assert BRIDGED == 0.25
    assert pattern("xx------xx") == "x" * 10
    assert pattern("xx-------xx") == "xx-------xx"
    assert pattern("xx---xx", fps=12) == "x" * 7
    assert pattern("xx----xx", fps=12) == "xx----xx"
    assert pattern("--xx--") == "x" * 6
    assert pattern("-------xx") == "-------xx"
    # A scene that shows nobody stays as it is, however short; another scene's gap does not lengthen one's own.
    assert pattern("xxx--xxx", cuts=(3, 5)) == "xxx--xxx"
    assert pattern("xxx----xxx", cuts=(5,)) == "x" * 10
    assert pattern("xxx---------xx", cuts=(5,)) == "xxxxx-------xx"
