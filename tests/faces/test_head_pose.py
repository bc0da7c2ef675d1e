"""A head pose over time: held, keyed, per frame, from text."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.head_pose import HeadPose


def test_a_held_pose_fits_any_length():
    pose = HeadPose.constant(10, -5, 2)
    torch.testing.assert_close(pose.at(4, 25), torch.tensor([[10.0, -5.0, 2.0]]).expand(4, 3))
    assert pose.at(0, 25).shape == (0, 3)


def test_keys_are_linear_between_and_held_outside():
    pose = HeadPose.from_keys([(3, 30, 0, 0), (1, 10, 0, 0)])
    torch.testing.assert_close(pose.at(5, 1)[:, 0], torch.tensor([10.0, 15.0, 25.0, 30.0, 30.0]))


def test_rows_of_frames_come_back_at_their_own_rate():
    rows = torch.randn(7, 3)
    torch.testing.assert_close(HeadPose.from_frames(rows, "30000/1001").at(7, "30000/1001"), rows)
    later = HeadPose.from_frames(rows, 10, first=5).at(12, 10)
    torch.testing.assert_close(later[5:], rows)
    torch.testing.assert_close(later[:5], rows[:1].expand(5, 3))


def test_full_width_punctuation_is_read_too():
    torch.testing.assert_close(HeadPose.from_text("0：5，0、0").at(1, 1), HeadPose.constant(5, 0, 0).at(1, 1))


def test_text_is_read_line_by_line():
    pose = HeadPose.from_text("seconds: yaw, pitch, roll\n0: 0, 0, 0\n# a nod\n2: 0, 10, 0  # down")
    torch.testing.assert_close(pose.at(2, 1)[:, 1], torch.tensor([2.5, 7.5]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no keyframe"),
        ("0: 1, 2", "line 1: '0: 1, 2' is not"),
        ("0: 0, 0, 0\nleft", "line 2: 'left'"),
        ("0: 0, nan, 0", "NaN"),
        ("0: 120, 0, 0", "beyond 90 degrees"),
        ("1: 0,0,0\n1: 1,1,1", "two poses at 1 s"),
    ],
)
def test_what_is_no_pose_is_told(text, message):
    with pytest.raises(InputError, match=message):
        HeadPose.from_text(text)
