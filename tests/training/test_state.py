"""A run's state: that of another network, of a stranger, damaged; and the checkpoint of a run that was killed."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.training.export import export
from talkface_core.training.state import FORMAT, STATE, read_progress
from tests.training.toy import Toy, go


def test_the_state_of_another_network(tmp_path: Path) -> None:
    go(tmp_path, steps=1)
    other = Toy()
    other.modules["gain"] = torch.nn.Linear(2, 1)
    with pytest.raises(InputError, match=r"another network \(ema/gain/weight does not fit\)"):
        go(tmp_path, other, resume=True)


@pytest.mark.parametrize("damage", ["cut off", "foreign"])
def test_a_damaged_state(tmp_path: Path, damage: str) -> None:
    go(tmp_path, steps=1)
    path = tmp_path / ("toy.safetensors" if damage == "foreign" else STATE)
    (tmp_path / STATE).write_bytes(path.read_bytes()[: None if damage == "foreign" else 300])
    with pytest.raises(InputError, match=r"damaged|format") as caught:
        go(tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_exporting_what_was_killed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        go(tmp_path, Toy(at7=RuntimeError("power")))
    path = export(Toy(), tmp_path)
    assert path == tmp_path / "toy.safetensors"
    checkpoint = read_checkpoint(path)
    assert checkpoint.provenance["steps"] == 4
    assert torch.equal(checkpoint.states["net"]["0.weight"], load_file(tmp_path / STATE)["ema/net/0.weight"])
    with pytest.raises(InputError, match="no state"):
        export(Toy(), tmp_path / "gone")


@pytest.mark.parametrize(
    "progress",
    [
        "[" * 100_000,
        "[]",
        '{"step": 1}',
        '{"step": -1, "seconds": 1, "sums": {}, "settings": {}}',
        '{"step": "1", "seconds": 1, "sums": {}, "settings": {}}',
        '{"step": 1, "seconds": NaN, "sums": {}, "settings": {}}',
        '{"step": 1, "seconds": 1, "sums": {"loss": [1, 0]}, "settings": {}}',
        '{"step": 1, "seconds": 1, "sums": {"loss": 1}, "settings": {}}',
        '{"step": 1, "seconds": 1, "sums": {}, "settings": []}',
    ],
)
def test_progress_of_a_stranger(tmp_path: Path, progress: str) -> None:
    save_file({"w": torch.zeros(1)}, tmp_path / STATE, {"format": FORMAT, "progress": progress})
    with pytest.raises(InputError, match="a damaged state"):
        read_progress(tmp_path)


@pytest.mark.parametrize("change", ["lost", "shape", "owner", "kind"])
def test_moments_that_do_not_fit(tmp_path: Path, change: str) -> None:
    go(tmp_path, steps=1)
    tensors = load_file(tmp_path / STATE)
    with safe_open(tmp_path / STATE, "pt") as file:
        metadata = file.metadata()
    name = next(name for name in tensors if name.endswith("exp_avg"))
    moment = tensors.pop(name)
    if change != "lost":
        owner = name.rpartition("/")[0]
        other = {"shape": name, "owner": "optimiser/nobody/exp_avg", "kind": f"{owner}/other"}[change]
        tensors[other] = torch.zeros(7) if change == "shape" else moment
    save_file(tensors, tmp_path / STATE, metadata)
    with pytest.raises(InputError, match="a damaged state"):
        go(tmp_path, resume=True)
