"""Weights in 8 bits: what comes back lies within half a step of each channel, and joining changes no number."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from talkface_core.checkpoints import CheckpointError, read_checkpoint, read_header, save_checkpoint
from talkface_core.joining import Joint


@pytest.fixture
def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Linear(64, 40), nn.Linear(4, 4))
    with torch.no_grad():
        layers[0].weight *= torch.logspace(-3, 1, 32).view(-1, 1, 1, 1)  # channels of very different size
        layers[0].weight[5] = 0
    return layers


def saved(path: Path, net: nn.Module, eight_bits: tuple[str, ...]) -> Path:
    save_checkpoint(path, "toy", {"net": net, "netto": net}, {"net": {}, "netto": {}}, {}, torch.float16, eight_bits)
    return path


def test_weights_come_back_within_half_a_step_of_their_channel(tmp_path: Path, net: nn.Sequential):
    path = saved(tmp_path / "net.safetensors", net, ("net",))
    read = read_checkpoint(path, "toy")
    state = read.states["net"]
    for name, wanted in net.state_dict().items():
        if name in ("0.weight", "2.weight"):
            rows, back = wanted.flatten(1), state[name].float().flatten(1)
            step = rows.abs().amax(1, keepdim=True) / 127
            # Half a step, and what float16 rounds off.
            assert ((rows - back).abs() <= step / 2 + 2**-11 * rows.abs() + 2**-24).all()
            assert state[name].dtype == torch.float16
            assert not torch.equal(rows.half(), back.half())
        else:
            torch.testing.assert_close(state[name], wanted.half() if wanted.is_floating_point() else wanted)
        torch.testing.assert_close(read.states["netto"][name], wanted.half() if wanted.is_floating_point() else wanted)
    assert state["0.weight"][5].eq(0).all()
    fresh = nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.Linear(64, 40), nn.Linear(4, 4))
    read.load_into(fresh, "net")
    assert read_header(path).shapes["net"] == {name: tuple(t.shape) for name, t in net.state_dict().items()}


def test_a_part_alone_is_packed_and_the_file_is_as_much_smaller(tmp_path: Path, net: nn.Sequential):
    whole = saved(tmp_path / "whole.safetensors", net, ())
    part = saved(tmp_path / "part.safetensors", net, ("net.0",))
    numbers = net[0].weight.numel()
    with safe_open(part, "pt") as file:
        assert file.get_tensor("net.0.weight").dtype == torch.int8
        assert file.get_tensor("net.0.weight:scale").shape == (32,)
        assert file.get_tensor("net.2.weight").dtype == file.get_tensor("netto.0.weight").dtype == torch.float16
        assert file.metadata()["format_version"] == "2"  # so that versions before this one say: update
    with safe_open(whole, "pt") as file:
        assert file.metadata()["format_version"] == "1"
    assert numbers - 400 < whole.stat().st_size - part.stat().st_size < numbers


def test_joined_again_it_stays_the_same(tmp_path: Path, net: nn.Sequential):
    path = saved(tmp_path / "net.safetensors", net, ("net",))
    for again in ("one", "two"):
        joint = Joint.of(path)
        path = tmp_path / f"{again}.safetensors"
        joint.save(path, eight_bits=("net",))
    first, last = load_file(tmp_path / "net.safetensors"), load_file(path)
    for name in ("net.0.weight", "net.2.weight"):
        assert torch.equal(first[name], last[name])
    assert torch.equal(load_file(tmp_path / "one.safetensors")["net.0.weight:scale"], last["net.0.weight:scale"])


@pytest.mark.parametrize("scale", [torch.ones(31), torch.ones(32, 1), torch.ones(())])
def test_scales_that_fit_no_tensor_are_refused(tmp_path: Path, net: nn.Sequential, scale: torch.Tensor):
    path = saved(tmp_path / "net.safetensors", net, ("net",))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {"net.0.weight:scale": scale}, path, metadata)
    for read in (read_header, read_checkpoint):
        with pytest.raises(
            CheckpointError, match=r"scales 'net\.0\.weight:scale' of shape .* one scale for each channel"
        ):
            read(path)


def test_scales_of_nothing_and_scales_that_are_no_numbers(tmp_path: Path, net: nn.Sequential):
    path = saved(tmp_path / "net.safetensors", net, ("net",))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["configs"]) == {"net": {}, "netto": {}}
    tensors = load_file(path)
    for shape in ((3,), ()):
        save_file(tensors | {"net.9.weight:scale": torch.ones(shape)}, path, metadata)
        with pytest.raises(CheckpointError, match=r"scales 'net\.9\.weight:scale' of no weights"):
            read_checkpoint(path)
    save_file(tensors | {"net.0.weight:scale": torch.full((32,), float("nan"))}, path, metadata)
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights in net\.0\.weight"):
        read_checkpoint(path).load_into(net, "net")


@pytest.mark.parametrize(
    ("name", "numbers", "scale", "found"),
    [
        ("net.0.bias", torch.ones(32, dtype=torch.int8), torch.ones(32), r"of shape \[32\] for \[32\]"),
        ("net.1.num_batches_tracked", torch.tensor(1, dtype=torch.int8), torch.tensor(1.0), r"of shape \[\] for \[\]"),
        ("net.2.weight", torch.ones(40, 64), torch.ones(40), "the type F32 for weights of the type F32"),
        ("net.2.weight", torch.ones(40, 64, dtype=torch.bool), torch.ones(40), "weights of the type BOOL"),
        ("net.2.weight", torch.ones(40, 64, dtype=torch.int8), torch.ones(40, dtype=torch.int32), "the type I32 for"),
        ("net.0.weight:scale", torch.ones(32), torch.ones(32), r"of shape \[32\] for \[32\]"),
    ],
)
def test_scales_belong_to_matrices_and_kernels_of_8_bits_alone(
    tmp_path: Path, net: nn.Sequential, name: str, numbers: torch.Tensor, scale: torch.Tensor, found: str
):
    path = saved(tmp_path / "net.safetensors", net, ("net",))
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    save_file(load_file(path) | {name: numbers, name + ":scale": scale}, path, metadata)
    for read in (read_header, read_checkpoint):
        with pytest.raises(CheckpointError, match=f"scales '{name}:scale' .*{found}.*one scale for each channel"):
            read(path)
