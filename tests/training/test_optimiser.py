"""What a step does to the weights: clipping is torch's own bit for bit, fused kernels agree with the plain ones, biases
do not decay, and the average follows its recurrence."""

import copy
import math

import pytest
import torch
from torch import nn

from talkface_core.training.config import TrainConfig
from talkface_core.training.optimiser import EMA, clip_gradients, make_optimiser


@pytest.mark.parametrize("limit", [0.1, 1e6, 0.0])
def test_clipping_as_torch_does(limit: float) -> None:
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


def test_clipping_sees_nan() -> None:
    net = nn.Linear(2, 2)
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, float("nan"))
    assert clip_gradients(net.parameters(), 1.0).isnan()


@pytest.mark.parametrize("kind", ["adamw", "adam"])
def test_fused_on_channels_last_is_the_plain_algorithm(kind: str) -> None:
    config = TrainConfig(lr=1e-2, optimiser=kind, weight_decay=0.1)
    results = []
    for fused in (True, False):
        torch.manual_seed(0)
        net = nn.Conv2d(3, 5, 3)
        if fused:
            net = net.to(memory_format=torch.channels_last)
            optimiser = make_optimiser(list(net.parameters()), config, torch.device("cpu"))
            assert optimiser.defaults["fused"]
        else:
            plain = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[kind]
            groups = [{"params": [net.weight], "weight_decay": 0.1}, {"params": [net.bias], "weight_decay": 0.0}]
            optimiser = plain(groups, lr=1e-2, foreach=False)
        x = torch.randn(2, 3, 8, 8)
        for _ in range(10):
            optimiser.zero_grad()
            net(x.contiguous(memory_format=torch.channels_last) if fused else x).square().mean().backward()
            optimiser.step()
        results.append(net)
    torch.testing.assert_close(results[0].weight, results[1].weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(results[0].bias, results[1].bias, rtol=1e-4, atol=1e-6)


def test_weight_decay_spares_biases_and_gains() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    before = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    optimiser = make_optimiser(list(net.parameters()), TrainConfig(lr=0.1, weight_decay=0.5), torch.device("cpu"))
    for weight in net.parameters():
        weight.grad = torch.zeros_like(weight)
    optimiser.step()
    after = dict(net.named_parameters())
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * 0.95)
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(after[name], before[name])


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
def test_the_recurrence_of_the_average_with_its_warm_up(decay: float) -> None:
    ema, _, wanted = walk(decay, 200)
    averaged = ema.modules["net"][0].weight
    assert averaged.dtype == torch.float32
    torch.testing.assert_close(averaged.double(), wanted, rtol=1e-5, atol=1e-5)


def test_an_early_average_has_forgotten_the_random_start() -> None:
    ema, _, _ = walk(0.9999, 20)
    assert ema.modules["net"][0].weight.min() > 15


def test_the_average_copies_buffers() -> None:
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
