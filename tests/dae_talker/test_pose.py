"""The pose adaptor: what is blended, what is scaled, and that the true pose reaches the sequence."""

import pytest
import torch

from talkface_core.dae_talker.pose import (
    PoseAdaptor,
    blink_track,
    pose_degrees,
    pose_units,
    sway_track,
)
from talkface_core.errors import InputError


@pytest.fixture
def adaptor():
    torch.manual_seed(0)
    net = PoseAdaptor(16, 8, eyes=True).eval()
    net.pose_mean.copy_(torch.tensor([0.02, 0.0, -0.01]))
    return net


def test_strength_blends_from_the_predicted_to_the_given_pose(adaptor):
    x = torch.randn(1, 9, 16)
    given = torch.full((1, 9, 3), 0.3)
    _, used, predicted = adaptor(x)
    torch.testing.assert_close(used, predicted)
    for strength in (0.0, 0.25, 1.0):
        _, used, _ = adaptor(x, given, strength)
        torch.testing.assert_close(used, predicted + strength * (given - predicted))


def test_scale_stretches_about_the_mean_pose(adaptor):
    x = torch.randn(1, 9, 16)
    predicted = adaptor(x)[2]
    assert predicted.std() > 0
    torch.testing.assert_close(adaptor(x, pose_scale=0.0)[1], adaptor.pose_mean.expand(1, 9, 3))
    wanted = adaptor.pose_mean + 2.0 * (predicted - adaptor.pose_mean)
    torch.testing.assert_close(adaptor(x, pose_scale=2.0)[1], wanted)
    assert adaptor(x, pose_scale=10.0)[1].abs().max() <= 1.0


def test_sway_joins_the_predicted_motion_only(adaptor):
    x, sway = torch.randn(1, 9, 16), 0.05 * torch.randn(1, 9, 3)
    given, predicted = torch.full((1, 9, 3), 0.3), adaptor(x)[2]
    torch.testing.assert_close(adaptor(x, sway=sway)[1], predicted + sway)
    torch.testing.assert_close(adaptor(x, given, sway=sway)[1], given)
    torch.testing.assert_close(adaptor(x, pose_scale=0.0, sway=sway)[1], adaptor.pose_mean.expand(1, 9, 3))


def test_sway_is_slow_as_wide_as_asked_and_reproducible():
    motion = torch.tensor([2.0, 0.0, 0.5])
    track = sway_track(motion, 5 * 60 * 25, 25.0, seed=1)
    torch.testing.assert_close(track.std(0), motion, rtol=0.1, atol=1e-6)
    assert track.diff(dim=0).abs().amax(0)[0] < 0.4
    torch.testing.assert_close(sway_track(motion, 100, 25.0, seed=1), track[:100])
    assert not torch.equal(sway_track(motion, 100, 25.0, seed=2), track[:100])


def test_pose_and_eyes_are_added_to_the_sequence(adaptor):
    x = torch.randn(1, 9, 16)
    still = adaptor(x, torch.zeros(1, 9, 3))[0]
    turned = adaptor(x, torch.full((1, 9, 3), 0.1))[0]
    shut = adaptor(x, torch.zeros(1, 9, 3), eyes=torch.zeros(1, 9))[0]
    for other in (turned, shut):
        change = other - still
        assert change.abs().max() > 1e-3
        # Added frame by frame, whatever the sequence holds.
        torch.testing.assert_close(change, change[:, :1].expand_as(change), rtol=1e-4, atol=1e-5)


def test_units():
    degrees = torch.tensor([45.0, -90.0, 120.0])
    assert pose_units(degrees).tolist() == [0.5, -1.0, 1.0]
    torch.testing.assert_close(pose_degrees(pose_units(degrees[:2])), degrees[:2])


def test_blinks_are_short_regular_and_reproducible():
    track = blink_track(60 * 25, 25.0, seed=3)
    shut = track < 0.5
    blinks = int((shut[1:] & ~shut[:-1]).sum())
    assert 8 <= blinks <= 40
    assert shut.float().mean() < 0.12
    assert track.min() >= 0.0
    assert track.max() == 1.0
    torch.testing.assert_close(blink_track(500, 25.0, seed=3), track[:500])
    assert not torch.equal(blink_track(1500, 25.0, seed=4), track)
    with pytest.raises(InputError, match="blinks need"):
        blink_track(10, 0.0)
