"""Clipping gives what torch's own gives, bit for bit, clipped or not."""

import copy
import math

import pytest
import torch
from torch import nn

from talkface_core.training.gradients import clip_gradients


@pytest.mark.parametrize("limit", [0.1, 1e6, 0.0])
def test_as_torch_does(limit: float) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(2, 2, bias=False)).to(memory_format=torch.channels_last)
    for weight in net[0].parameters():
        weight.grad = torch.randn_like(weight)
    other = copy.deepcopy(net)
    for mine, theirs in zip(net.parameters(), other.parameters(), strict=True):
        theirs.grad = None if mine.grad is None else mine.grad.clone()
    norm = clip_gradients(net.parameters(), limit)
    assert torch.equal(norm, nn.utils.clip_grad_norm_(other.parameters(), limit or math.inf))
    assert net[1].weight.grad is None
    for mine, theirs in zip(net[0].parameters(), other[0].parameters(), strict=True):
        assert torch.equal(mine.grad, theirs.grad)
    if limit == 0.1:
        assert clip_gradients(net.parameters(), 0.0).item() == pytest.approx(0.1, rel=1e-4)


def test_nan_is_seen() -> None:
    net = nn.Linear(2, 2)
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, float("nan"))
    assert clip_gradients(net.parameters(), 1.0).isnan()
