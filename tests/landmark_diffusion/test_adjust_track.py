"""Mouths adjusted before they are painted: wider, calmer, later, and nothing but jaw and lips."""

from dataclasses import replace

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.geometry import transform
from talkface_core.faces.landmarks import mouth_opening
from talkface_core.faces.track import FaceTrack
from talkface_core.landmark_diffusion.adjust_track import adjust_mouth
from talkface_core.landmark_diffusion.complete_track import KNOWN
from tests.dubbing.toys import face_points, tracked

CONTENT, POSE, FRAMES = list(KNOWN.content), list(KNOWN.pose), 40


@pytest.fixture(scope="module")
def track() -> FaceTrack:
    """A face that drifts and nods a little, whose lower lip and jaw say something between two rests."""
    points = torch.as_tensor(face_points())[:1].repeat(FRAMES, 1, 1)
    opening = torch.zeros(FRAMES)
    opening[10:30] = torch.tensor([0.0, 6.0, 2.0, 8.0]).repeat(5)
    lower = [*range(5, 12), *range(55, 60), *range(65, 68)]
    points[:, lower, 1] += opening[:, None]
    turn = 0.1 * torch.sin(torch.arange(FRAMES) / 7)
    zero = torch.zeros(FRAMES)
    matrices = torch.stack(
        [turn.cos(), -turn.sin(), zero + 20, turn.sin(), turn.cos(), torch.linspace(0, 9, FRAMES)], -1
    ).unflatten(1, (2, 3))
    return tracked(transform(matrices, points), valid=[True] * FRAMES)


def openings(track: FaceTrack) -> torch.Tensor:
    return torch.as_tensor(mouth_opening(track.landmarks.numpy()))


def test_what_is_not_asked_for_changes_nothing(track):
    assert torch.equal(adjust_mouth(track).landmarks, track.landmarks)


def test_nothing_but_jaw_and_lips_moves(track):
    made = adjust_mouth(track, strength=1.5, smoothing=0.5, shift=3)
    assert torch.equal(made.landmarks[:, POSE], track.landmarks[:, POSE])
    assert (made.landmarks[:, CONTENT] != track.landmarks[:, CONTENT]).any()
    assert (made.fps, made.size, made.cuts) == (track.fps, track.size, track.cuts)
    assert torch.equal(made.valid, track.valid)


def test_strength_is_how_far_the_mouth_opens_from_rest(track):
    before = openings(track)
    shut, half, wide = (openings(adjust_mouth(track, strength=strength)) for strength in (0.0, 0.5, 1.5))
    rest = before[:8].mean()
    assert (shut - rest).abs().max() < 0.1 * (before.max() - rest)
    for made, strength in ((half, 0.5), (wide, 1.5)):
        torch.testing.assert_close(made - shut, strength * (before - shut), atol=0.01, rtol=0.05)
    assert (wide[:8] - before[:8]).abs().max() < 0.01


def test_a_later_mouth_says_the_same_in_the_pose_of_its_frame(track):
    for shift in (4, -4):
        made, before = openings(adjust_mouth(track, shift=shift)), openings(track)
        when = (torch.arange(FRAMES) - shift).clamp(0, FRAMES - 1)
        torch.testing.assert_close(made, before[when], atol=0.012, rtol=0)
    assert adjust_mouth(track, shift=100).landmarks.isfinite().all()


def test_smoothing_calms_the_mouth(track):
    made, before = openings(adjust_mouth(track, smoothing=1.0)), openings(track)
    assert made.diff(n=2).abs().mean() < 0.4 * before.diff(n=2).abs().mean()
    assert (made - before)[:4].abs().max() < 0.005


def test_another_track_tells_where_the_mouth_is_at_rest(track):
    """A goal that never shuts, beside the footage in which it does; of another size."""
    talking = track.part(11, 29)
    talking = replace(talking, landmarks=talking.landmarks.clone())
    talking.landmarks[:, 55:60, 1] += 2
    talking.landmarks[:, 65:68, 1] += 2
    footage = replace(track, landmarks=track.landmarks * 1.5, size=(400, 400))
    own, shut = (openings(adjust_mouth(talking, rest, strength=0.0)).mean() for rest in (None, footage))
    assert shut < own - 0.005
    assert shut == pytest.approx(float(openings(track)[:8].mean()), abs=0.01)


def test_what_is_wrong(track):
    with pytest.raises(InputError, match=r"strength 2\.5 of the mouth"):
        adjust_mouth(track, strength=2.5)
    with pytest.raises(InputError, match="shift 300 of the mouth"):
        adjust_mouth(track, shift=300)
    with pytest.raises(InputError, match="smoothing strength -1"):
        adjust_mouth(track, smoothing=-1)
