"""Lip refinement: nothing until it is trained, nothing beyond its masks, and each mask's attention takes part."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.see_the_speaker.lip_refinement import MASKS, LipRefinement, LipRefinementConfig


@pytest.fixture
def net() -> LipRefinement:
    torch.manual_seed(0)
    net = LipRefinement(LipRefinementConfig(keypoints=4, audio=9, width=16, heads=2, ff=16, around=2))
    net.masks.copy_(torch.tensor([[1.0, 0.5, 0, 0], [0, 0.5, 1, 1], [1, 1, 1, 1]]))
    return net


def test_an_untrained_refinement_changes_nothing(net: LipRefinement) -> None:
    values = torch.randn(2, 10, 19)
    assert torch.equal(net(values, torch.randn(2, 10, 9)), values)


def test_lips_alone_are_changed_by_what_is_near(net: LipRefinement) -> None:
    for name in MASKS:
        torch.nn.init.normal_(net.attend[name].out.weight)
    values, features = torch.randn(1, 20, 19), torch.randn(1, 20, 9)
    made = net(values, features)
    change = (made - values).detach()[0, :, :12].unflatten(1, (4, 3)).abs()
    assert float(change[:, :2].mean()) > 1e-3
    assert not change[:, 2:].any()
    assert torch.equal(made[..., 12:], values[..., 12:])
    other = features.clone()
    other[:, 0] += 5
    later = (net(values, other) - made).detach()[0].abs().sum(1)
    assert float(later[:3].min()) > 1e-4
    assert float(later[3:].max()) < 1e-6


@pytest.mark.parametrize("name", MASKS)
def test_each_mask_learns(net: LipRefinement, name: str) -> None:
    values, features = torch.randn(2, 10, 19), torch.randn(2, 10, 9)
    net(values, features)[..., :3].square().mean().backward()
    grad = net.attend[name].out.weight.grad
    if name == "face":
        # The first keypoint is no part of the face's mask, and the lips' second is by half.
        assert grad is None or not grad.any()
        net.zero_grad()
        net(values, features)[..., 3:6].square().mean().backward()
        grad = net.attend[name].out.weight.grad
    assert grad is not None
    assert float(grad.abs().max()) > 0


def test_other_shapes_are_refused(net: LipRefinement) -> None:
    with pytest.raises(InputError, match="values a frame"):
        net(torch.randn(1, 5, 22), torch.randn(1, 5, 9))
    with pytest.raises(InputError, match="do not fit"):
        LipRefinementConfig(width=30)


def test_sizes_stay_small() -> None:
    net = LipRefinement(LipRefinementConfig.preset("tiny"))
    assert sum(weight.numel() for weight in net.parameters()) < 120_000
