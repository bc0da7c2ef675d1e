"""The optimiser: fused kernels on any memory layout agree with the plain ones, and biases do not decay."""

import pytest
import torch
from torch import nn

from talkface_core.training.config import TrainConfig
from talkface_core.training.setup import make_optimiser


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
