"""Components: built of a checkpoint as their line of the table says, cast as they allow."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from talkface_core.checkpoints import CheckpointError, read_checkpoint, save_checkpoint
from talkface_core.components import Component, build, build_optional, problem, table
from talkface_core.config import LARGEST, Config


@dataclass(frozen=True)
class Size(Config):
    width: int = 4


class Net(nn.Module):
    def __init__(self, config: Size, layers: Any = nn) -> None:
        super().__init__()
        self.config = config
        self.conv = layers.Conv2d(3, config.width, 3)
        self.exact = layers.Linear(config.width, 2)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("count", torch.zeros(2, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        return self.exact((self.scale * self.conv(x)).float().mean((2, 3)))


@dataclass(frozen=True)
class Depth(Config):
    blocks: int = 2


class Stack(nn.Module):
    def __init__(self, config: Depth, layers: Any = nn) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(layers.Linear(2, 2) for _ in range(config.blocks))


class Doubled(nn.Module):
    """What is left of a net for inference."""

    def __init__(self, net: Net, layers: Any) -> None:
        super().__init__()
        self.exact = layers.Linear(4, 2)
        self.exact.weight.data = 2 * net.exact.weight.data


class Layers:
    Conv2d, Linear = (type(kind.__name__, (kind,), {}) for kind in (nn.Conv2d, nn.Linear))


PLAIN = Component("net", Size, Net)
HALF = Component("net", Size, Net, half=True, exact=("exact",))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, "toy", {"net": Net(Size())}, {"net": {"width": 4}}, {}, torch.float16)
    return path


def test_it_is_ready_to_infer_and_of_the_layers_given(saved: Path) -> None:
    net = build(read_checkpoint(saved), PLAIN, Layers)
    assert type(net.conv) is Layers.Conv2d
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert net(torch.rand(1, 3, 8, 8)).shape == (1, 2)


def test_loading_draws_no_numbers(saved: Path) -> None:
    before = torch.get_rng_state()
    net = build(read_checkpoint(saved), PLAIN)
    assert torch.equal(torch.get_rng_state(), before)
    stored = read_checkpoint(saved).states["net"]
    assert all(torch.equal(value, stored[key].to(value)) for key, value in net.state_dict().items())


def test_what_is_exact_stays_so(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    kinds = {key: value.dtype for key, value in build(checkpoint, HALF, dtype=torch.bfloat16).state_dict().items()}
    assert kinds == {
        "scale": torch.bfloat16,
        "count": torch.int64,
        "conv.weight": torch.bfloat16,
        "conv.bias": torch.bfloat16,
        "exact.weight": torch.float32,
        "exact.bias": torch.float32,
    }
    whole = build(checkpoint, PLAIN, dtype=torch.bfloat16).state_dict()
    assert {value.dtype for value in whole.values()} == {torch.float32, torch.int64}
    assert build(checkpoint, HALF, dtype=torch.bfloat16)(torch.rand(1, 3, 8, 8).bfloat16()).dtype == torch.float32


def test_what_infers_may_be_made_of_what_was_trained(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    net = build(checkpoint, Component("net", Size, Net, for_inference=Doubled), Layers)
    assert type(net.exact) is Layers.Linear
    assert torch.equal(net.exact.weight, 2 * checkpoint.states["net"]["exact.weight"].float())


def test_a_component_that_may_be_missing(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    assert build_optional(checkpoint, Component("gate", Size, Net)) is None
    assert build_optional(checkpoint, PLAIN) is not None
    with pytest.raises(CheckpointError, match=r"net\.safetensors: holds no 'gate', only net"):
        build(checkpoint, Component("gate", Size, Net))


def test_settings_that_make_no_network_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, "toy", {"net": Net(Size())}, {"net": {"width": 0}}, {})
    with pytest.raises(CheckpointError, match=r"net\.safetensors: found settings of 'net' of which no network"):
        build(read_checkpoint(path), PLAIN)


def test_a_header_tells_what_would_not_load(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    assert problem(checkpoint, table(PLAIN)) is None
    assert problem(checkpoint, table(Component("gate", Size, Net))) == "holds 'net', which is none of gate"


def test_settings_are_not_believed_before_the_weights_are_compared(tmp_path: Path) -> None:
    """A file of four tensors that says it holds a million blocks costs no time, and wide ones no memory."""
    path, deep = tmp_path / "deep.safetensors", Component("net", Depth, Stack)
    built = 0

    class Counted(nn.Linear):
        def __init__(self, *options: Any) -> None:
            nonlocal built
            built += 1
            super().__init__(*options)

    save_checkpoint(path, "toy", {"net": Stack(Depth())}, {"net": {"blocks": LARGEST}}, {})
    with pytest.raises(CheckpointError, match=r"deep\.safetensors: .*'net'.*far more weights than the file holds"):
        build(read_checkpoint(path), deep, type("Layers", (), {"Linear": Counted}))
    assert built == 0
    assert "far more weights" in problem(read_checkpoint(path), table(deep))
    wide = tmp_path / "wide.safetensors"
    save_checkpoint(wide, "toy", {"net": Net(Size())}, {"net": {"width": LARGEST}}, {})
    layers = type("Layers", (), {"Conv2d": None, "Linear": None})  # none of them is made
    with pytest.raises(CheckpointError, match=rf"net\.conv\.\w+ of shape \[4.*expected shape \[{LARGEST}"):
        build(read_checkpoint(wide), PLAIN, layers)


def test_other_threads_build_what_they_like_meanwhile(saved: Path) -> None:
    built: list[nn.Module] = []

    class Slow(Net):
        def __init__(self, config: Size, layers: Any = nn) -> None:
            super().__init__(config, layers)
            other = threading.Thread(target=lambda: built.append(Stack(Depth(100))))
            other.start()
            other.join()

    build(read_checkpoint(saved), Component("net", Size, Slow))
    assert built
