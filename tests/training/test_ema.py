"""The average of the weights: its recurrence, its warm-up, and what it leaves alone."""

import copy

import pytest
import torch
from torch import nn

from talkface_core.training.ema import EMA


def walk(decay: float, steps: int) -> tuple[EMA, nn.Module, torch.Tensor]:
    """A network whose weight is `step` after each step, its average, and the average by the definition."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    ema = EMA({"net": net}, decay)
    wanted = net[0].weight.detach().double().clone()
    for step in range(steps):
        with torch.no_grad():
            net[0].weight.fill_(step)
        net[1].running_mean.fill_(step)
        ema.update(step)
        d = min(decay, (1 + step) / (10 + step))
        wanted = d * wanted + (1 - d) * step
    return ema, net, wanted


@pytest.mark.parametrize("decay", [0.9, 0.9999])
def test_recurrence_with_warm_up(decay: float) -> None:
    ema, _, wanted = walk(decay, 200)
    averaged = ema.modules["net"][0].weight
    assert averaged.dtype == torch.float32
    torch.testing.assert_close(averaged.double(), wanted, rtol=1e-5, atol=1e-5)


def test_an_early_average_has_forgotten_the_random_start() -> None:
    ema, _, _ = walk(0.9999, 20)
    assert ema.modules["net"][0].weight.min() > 15


def test_buffers_are_copied() -> None:
    ema, _, _ = walk(0.9, 7)
    assert ema.modules["net"][1].running_mean.tolist() == [6, 6]


def test_the_average_is_a_copy_in_evaluation_mode() -> None:
    ema, net, _ = walk(0.9, 3)
    averaged = ema.modules["net"]
    assert net.training
    assert not averaged.training
    assert not any(weight.requires_grad for weight in averaged.parameters())
    assert all(weight.requires_grad for weight in net.parameters())
    before = copy.deepcopy(averaged.state_dict())
    nn.init.zeros_(net[0].weight)
    assert all(torch.equal(before[key], value) for key, value in averaged.state_dict().items())


def test_weights_that_move_to_new_storage_are_followed() -> None:
    net = nn.Linear(2, 1, bias=False)
    ema = EMA({"net": net}, 0.0)
    net.weight.data = torch.full((1, 2), 3.0)
    ema.update(100)
    assert ema.modules["net"].weight.tolist() == [[3, 3]]
