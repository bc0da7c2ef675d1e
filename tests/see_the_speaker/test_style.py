"""Style: head, blinks, gaze, strength and a pose of one's own, all on a motion, in parts as in the whole."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.head_pose import HeadPose
from talkface_core.see_the_speaker.controls import BLINK_LEFT, BLINK_RIGHT, CONTROLS, GAZE_RIGHT, OPENING, ControlTable
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.style import MotionStyle, blinks, keep_shut, placed


@pytest.fixture
def table() -> ControlTable:
    """Each control is a coordinate of its own."""
    table = ControlTable(CONTROLS, 4)
    for place in range(len(CONTROLS)):
        table.read[place, place] = table.write[place, place] = 1.0
    return table


@pytest.fixture
def motion() -> Motion:
    torch.manual_seed(0)
    count = 100
    return Motion(
        torch.rand(count, 4, 3), 5 * torch.randn(count, 3), 0.1 * torch.randn(count, 3), 1 + 0.1 * torch.randn(count, 1)
    )


def test_a_neutral_style_changes_nothing(motion: Motion, table: ControlTable) -> None:
    assert MotionStyle().apply(motion, table) is motion
    assert MotionStyle().apply(motion, ControlTable((), 4)) is motion


def test_head_and_expression(motion: Motion, table: ControlTable) -> None:
    made = MotionStyle(head=0.5, expression=2.0).apply(motion, table)
    assert torch.allclose(made.rotation, 0.5 * motion.rotation)
    assert torch.allclose(made.scale - 1, 0.5 * (motion.scale - 1), atol=1e-6)
    assert torch.allclose(made.translation, 0.5 * motion.translation)
    assert torch.allclose(made.expression, 2 * motion.expression)
    still = MotionStyle(head=0.0).apply(motion, table)
    assert not still.rotation.any()
    assert torch.equal(still.expression, motion.expression)


def test_blinks_of_another_strength_and_rate(motion: Motion, table: ControlTable) -> None:
    shut = table.value(motion.expression, BLINK_LEFT)
    weaker = MotionStyle(blink=0.25).apply(motion, table)
    assert torch.allclose(table.value(weaker.expression, BLINK_LEFT), 0.25 * shut, atol=1e-6)
    assert torch.allclose(table.value(weaker.expression, OPENING), table.value(motion.expression, OPENING))
    never = MotionStyle(blink_rate=0.0, expression=1.5).apply(motion, table)
    assert float(table.value(never.expression, BLINK_RIGHT).abs().max()) < 1e-6
    often = MotionStyle(blink_rate=60.0).apply(motion, table)
    assert float(table.value(often.expression, BLINK_RIGHT).max()) > 0.9


def test_blinks_come_as_often_as_asked() -> None:
    for rate in (10.0, 30.0):
        shut = blinks(rate, 0, 25 * 600, 25.0, seed=1)
        begun = ((shut[1:] > 0.5) & (shut[:-1] <= 0.5)).sum()
        assert 0.75 * rate < float(begun) / 10 < 1.25 * rate
        assert float(shut.max()) == pytest.approx(1.0)
    assert not blinks(0.0, 0, 1000, 25.0).any()
    assert not torch.equal(blinks(20.0, 0, 1000, 25.0, 0), blinks(20.0, 0, 1000, 25.0, 1))


def test_parts_are_styled_as_the_whole(motion: Motion, table: ControlTable) -> None:
    pose = HeadPose.from_keys([(0.0, 0.0, 0.0, 0.0), (4.0, 20.0, 0.0, -8.0)])
    style = MotionStyle(0.7, 1.2, 1.3, 25.0, (0.3, -0.2), 0.5, pose, seed=3)
    whole = style.apply(motion, table)
    parts = [style.apply(motion[first : first + 30], table, first) for first in range(0, 100, 30)]
    assert torch.allclose(Motion.join(parts).values(), whole.values(), atol=1e-5)


def test_the_gaze_turns(motion: Motion, table: ControlTable) -> None:
    seen = table.value(motion.expression, GAZE_RIGHT)
    made = MotionStyle(gaze=(0.5, 0.0)).apply(motion, table)
    assert torch.allclose(table.value(made.expression, GAZE_RIGHT), seen + 0.5, atol=1e-6)
    fixed = MotionStyle(look=0.0, expression=2.0).apply(motion, table)
    assert float(table.value(fixed.expression, GAZE_RIGHT).abs().max()) < 1e-5


def test_a_pose_takes_the_place_of_the_rotation(motion: Motion, table: ControlTable) -> None:
    pose = HeadPose.constant(10.0, -5.0, 2.0)
    made = MotionStyle(head=0.0, pose=pose).apply(motion, table)
    assert torch.allclose(made.rotation, torch.tensor([10.0, -5.0, 2.0]).expand(100, 3))
    assert torch.equal(made.expression, motion.expression)


def test_a_mouth_that_is_kept_shut(motion: Motion, table: ControlTable) -> None:
    shut = torch.zeros(100)
    shut[40:] = 1
    made = keep_shut(motion.expression, shut, table)
    assert torch.equal(made[:40], motion.expression[:40])
    assert float(table.value(made[40:], OPENING).abs().max()) < 1e-6
    closed = motion.expression.clone()
    closed[:, 0, 0] = -0.1
    assert torch.equal(keep_shut(closed, shut, table), closed)


def test_a_motion_is_placed_on_a_face(motion: Motion) -> None:
    rest = Motion(torch.ones(1, 4, 3), torch.tensor([[7.0, 0, 0]]), torch.zeros(1, 3), torch.full((1, 1), 1.4))
    made = placed(motion, rest)
    assert torch.allclose(made.expression, 1 + motion.expression)
    assert torch.allclose(made.rotation[:, 0], 7 + motion.rotation[:, 0])
    assert torch.allclose(made.scale, 1.4 * motion.scale)
    whole = placed(motion, rest, relative=False)
    assert torch.allclose(whole.values()[0], rest.values()[0], atol=1e-6)
    assert torch.allclose(whole.rotation[3] - whole.rotation[0], motion.rotation[3] - motion.rotation[0], atol=1e-5)
    assert torch.equal(placed(motion, rest, turned=True).rotation, motion.rotation)
    with pytest.raises(InputError, match="keypoints"):
        placed(motion, motion)


def test_styles_out_of_range_are_refused(motion: Motion) -> None:
    for settings in ({"head": -1.0}, {"expression": 9.0}, {"blink_rate": 100.0}, {"gaze": (2.0, 0.0)}):
        with pytest.raises(InputError):
            MotionStyle(**settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="control"):
        MotionStyle(blink=0.5).apply(motion, ControlTable((), 4))
