"""The motion of a face as numbers and back."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.see_the_speaker.motion import Motion


def some(frames: int = 5, points: int = 21) -> Motion:
    return Motion(
        torch.randn(frames, points, 3), torch.randn(frames, 3), torch.randn(frames, 3), torch.rand(frames, 1), 25
    )


def test_values_round_trip():
    motion = some()
    back = Motion.from_values(motion.values(), motion.fps)
    for name in ("expression", "rotation", "translation", "scale"):
        assert torch.equal(getattr(motion, name), getattr(back, name))
    assert (len(motion), motion.keypoints, motion.values().shape[1]) == (5, 21, 70)


def test_parts_join_to_the_whole():
    motion = some(7)
    assert torch.equal(Motion.join([motion[:3], motion[3:]]).values(), motion.values())


@pytest.mark.parametrize("shape", [(4, 71), (4, 7), (70,)])
def test_values_of_another_width_are_refused(shape):
    with pytest.raises(InputError, match="3K"):
        Motion.from_values(torch.zeros(shape))


def test_parts_of_different_lengths_are_refused():
    with pytest.raises(InputError, match=r"\[T,K,3\]"):
        Motion(torch.zeros(3, 21, 3), torch.zeros(2, 3), torch.zeros(3, 3), torch.zeros(3, 1))
