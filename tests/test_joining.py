"""Files that are joined: components with what their files say of themselves, and one file for two systems."""

from pathlib import Path

import pytest
import torch
from torch import nn

from talkface_core.checkpoints import CheckpointError, read_checkpoint, read_header, save_checkpoint
from talkface_core.joining import Joint


def saved(path: Path, system: str, *names: str, value: float = 1.0) -> Path:
    nets = {name: nn.Linear(2, 2) for name in names}
    for net in nets.values():
        nn.init.constant_(net.weight, value)
    configs = {name: {"width": 2, "deep": {"er": 1}} for name in names}
    save_checkpoint(path, system, nets, configs, {"recipe": path.stem})
    return path


def test_one_file_for_two_systems(tmp_path: Path):
    joint = Joint.of(saved(tmp_path / "one.safetensors", "speaks", "a", "gate"))
    joint.add(read_checkpoint(saved(tmp_path / "two.safetensors", "paints", "b", value=3.0)), "b")
    joint.also("paints")
    joint.save(tmp_path / "both.safetensors")
    header = read_header(tmp_path / "both.safetensors")
    assert header.systems == ("speaks", "paints")
    assert header.provenance == {"recipe": "one", "added": {"b": {"recipe": "two"}}}
    for system in header.systems:
        both = read_checkpoint(tmp_path / "both.safetensors", system)
        assert both.states["b"]["weight"].dtype == torch.float16
        assert both.states["b"]["weight"].eq(3).all()
    with pytest.raises(CheckpointError, match=r"the system 'speaks\+paints'; expected the system 'sings'"):
        read_checkpoint(tmp_path / "both.safetensors", "sings")


def test_settings_weights_and_means(tmp_path: Path):
    joint = Joint.of(saved(tmp_path / "one.safetensors", "speaks", "a"))
    joint.mean_with(read_checkpoint(saved(tmp_path / "two.safetensors", "speaks", "a", value=2.0)))
    joint.set("a.deep.er", 5)
    joint.drop("a", "bias")
    assert joint.states["a"].keys() == {"weight"}
    assert joint.states["a"]["weight"].eq(1.5).all()
    assert joint.configs["a"] == {"width": 2, "deep": {"er": 5}}
    assert joint.provenance["set"] == {"a.deep.er": 5}
    with pytest.raises(CheckpointError, match="holds no 'c', only a"):
        joint.add(read_checkpoint(tmp_path / "two.safetensors"), "c")


def test_a_component_is_left_out_with_all_that_is_said_of_it(tmp_path: Path):
    joint = Joint.of(saved(tmp_path / "one.safetensors", "speaks", "a"))
    joint.add(read_checkpoint(saved(tmp_path / "two.safetensors", "paints", "b")), "b")
    joint.drop("b")
    assert (joint.states.keys(), joint.configs.keys()) == ({"a"}, {"a"})
    assert joint.provenance["added"] == {}
    with pytest.raises(CheckpointError, match="no 'b' to leave out, only a"):
        joint.drop("b")
