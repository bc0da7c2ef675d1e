"""The strength that makes restored mouths as fine as their footage."""

import pytest
import torch
from torch import Tensor

from talkface_core.ladtalk.matching import matching_strength, matching_strength_in
from tests.ladtalk.small_sovqae import pictures


def blurred(faces: Tensor) -> Tensor:
    pooled = torch.nn.functional.avg_pool2d(faces.permute(0, 3, 1, 2), 5, 1, 2, count_include_pad=False)
    return pooled.permute(0, 2, 3, 1).contiguous()


@pytest.mark.parametrize("wanted", [0.0, 0.3, 0.8])
def test_soft_footage_gets_a_strength_that_matches_it(wanted: float) -> None:
    sharp = torch.from_numpy(pictures(2, 64)).float() / 255
    soft = blurred(sharp)
    real = torch.lerp(soft, sharp, wanted)
    real[:, 32:] = 0.5  # the mouth's half says nothing
    assert matching_strength(soft, sharp, real) == pytest.approx(wanted, abs=0.02)
    assert matching_strength(soft, soft, sharp) == 0
    assert matching_strength(soft, torch.lerp(soft, sharp, 0.5), sharp) == 1


@pytest.mark.parametrize("wanted", [0.0, 0.3, 0.8, 1.0])
def test_a_soft_mouth_gets_what_the_rest_of_its_face_has(wanted: float) -> None:
    """The face is as fine as that strength makes it, its mouth as soft as can be."""
    sharp = torch.from_numpy(pictures(2, 64)).float() / 255
    soft = blurred(sharp)
    given = torch.lerp(soft, sharp, wanted)
    given[:, 36:] = soft[:, 36:]
    assert matching_strength_in(given, sharp) == pytest.approx(wanted, abs=0.06)


def test_a_mouth_that_is_fine_already_gets_nothing() -> None:
    sharp = torch.from_numpy(pictures(2, 64)).float() / 255
    given = blurred(sharp)
    given[:, 36:] = sharp[:, 36:]
    assert matching_strength_in(given, sharp) == 0
    flat = torch.full((1, 64, 64, 3), 0.5)
    assert matching_strength_in(flat, flat) == 0
