"""The engine: a run that was stopped, killed or diverged goes on as if nothing had happened, and says what it did."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.training.engine import DivergedError
from talkface_core.training.state import STATE, read_progress
from tests.training.linear import Linear, run
from tests.training.toy import CONFIG, Toy, go

ROOT = Path(__file__).parents[2]


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(one: Path, other: Path) -> None:
    """Bit for bit: weights, averages, moments, checkpoint; and the log but for its clock."""
    for name in (STATE, "toy.safetensors"):
        a, b = load_file(one / name), load_file(other / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    drop = [[{**row, "seconds": ""} for row in rows(run)] for run in (one, other)]
    assert drop[0] == drop[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    go(run)
    return run


def test_a_run_learns_and_ends_in_a_checkpoint(tmp_path: Path) -> None:
    result = go(tmp_path, steps=60, config=replace(CONFIG, lr=0.03))
    assert (result.step, result.reason, result.state) == (60, "steps", tmp_path / STATE)
    losses = [float(row["pixel"]) for row in rows(tmp_path)]
    assert np.mean(losses[-5:]) < 0.5 * losses[0]
    checkpoint = read_checkpoint(result.checkpoint, "toy")
    provenance = checkpoint.provenance
    assert (provenance["recipe"], provenance["data"], provenance["steps"], provenance["seed"]) == (
        "toy",
        "noise",
        60,
        5,
    )
    assert provenance["seconds"] == pytest.approx(result.seconds, abs=0.06)
    assert provenance["config"]["recipe"] == {"width": 4, "sizes": [8, 8]}
    assert provenance["config"]["train"]["lr"] == 0.03
    assert provenance["versions"]["torch"] == torch.__version__
    net = checkpoint.load_into(Toy().modules["net"], "net")
    state = load_file(tmp_path / STATE)
    assert torch.equal(net[0].weight, state["ema/net/0.weight"])
    assert not torch.equal(net[0].weight, state["live/net/0.weight"])


def test_the_log(whole: Path) -> None:
    logged = rows(whole)
    assert list(logged[0]) == ["step", "seconds", "lr", "grad_norm", "loss", "pixel"]
    assert [int(row["step"]) for row in logged] == [2, 4, 6, 8, 10, 12]
    assert float(logged[0]["lr"]) == pytest.approx(CONFIG.lr * 2 / 3, rel=1e-5)
    assert all(float(row["loss"]) > float(row["pixel"]) > 0 for row in logged)
    assert [float(row["seconds"]) for row in logged] == sorted(float(row["seconds"]) for row in logged)


def test_run_json(whole: Path) -> None:
    state = json.loads((whole / "run.json").read_text())
    assert (state["recipe"], state["steps"], state["train"]["weight_decay"]) == ("toy", 12, 0.1)


def test_sample_pictures(whole: Path) -> None:
    assert sorted(file.name for file in (whole / "samples").iterdir()) == ["00000006.png", "00000012.png"]
    picture = cv2.imread(str(whole / "samples" / "00000006.png"))
    assert picture.shape == (6, 7, 3)
    assert picture[0, 0].tolist() == [0, 100, 250]  # OpenCV reads BGR


def test_nothing_is_pickled_and_nothing_is_left_over(whole: Path) -> None:
    files = [file for file in whole.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} == {".json", ".safetensors", ".csv", ".png"}
    assert not [file for file in whole.rglob("*") if file.name.startswith(".")]


@pytest.mark.parametrize("stop", [1, 5, 7, 11])
def test_a_failed_run_goes_on_bit_for_bit(whole: Path, tmp_path: Path, stop: int) -> None:
    with pytest.raises(RuntimeError, match="power"):
        go(tmp_path, Toy(**{f"at{stop}": RuntimeError("power")}))
    assert read_progress(tmp_path)["step"] == stop // 4 * 4
    result = go(tmp_path, resume=True)
    assert result.step == 12
    assert_same_run(whole, tmp_path)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        ({"precision": "bf16"}, {}),
        ({"accumulation": 2}, {}),
        ({"optimiser": "adam"}, {"prefetch": True}),
        ({"grad_clip": 0}, {}),
    ],
)
def test_resuming_bit_for_bit_under_other_settings(tmp_path: Path, change: dict, options: dict) -> None:
    config = replace(CONFIG, **change)
    go(tmp_path / "whole", config=config, **options)
    with pytest.raises(RuntimeError):
        go(tmp_path / "cut", Toy(at7=RuntimeError("power")), config=config)
    go(tmp_path / "cut", config=config, resume=True, **options)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_saves_the_state_then_ends(whole: Path, tmp_path: Path, number: signal.Signals, error: type) -> None:
    handler = signal.getsignal(number)
    with pytest.raises(error) as caught:
        go(tmp_path, Toy(at6=number))
    assert error is KeyboardInterrupt or caught.value.code == 143
    assert signal.getsignal(number) is handler
    assert read_progress(tmp_path)["step"] == 7
    assert not (tmp_path / "toy.safetensors").exists()
    go(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_kill_while_saving_keeps_the_state_before(whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.training.toy", str(tmp_path), "12", "8"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert read_progress(tmp_path)["step"] == 4
    assert int(rows(tmp_path)[-1]["step"]) == 8  # ahead of the state, and torn:
    with (tmp_path / "log.csv").open("a") as file:
        file.write("9,0.1,0.0")
    go(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)
    assert not list(tmp_path.glob(".*"))


def test_the_clock_ends_a_sitting(whole: Path, tmp_path: Path) -> None:
    result = go(tmp_path, max_seconds=0)
    assert (result.step, result.reason) == (1, "time")
    assert read_checkpoint(result.checkpoint).provenance["steps"] == 1
    again = go(tmp_path, resume=True, max_seconds=0)
    assert again.step == 2
    assert again.seconds > result.seconds
    go(tmp_path, resume=True)
    assert_same_run(whole, tmp_path)


def test_a_finished_run_resumed_only_writes_its_checkpoint(tmp_path: Path) -> None:
    go(tmp_path)
    before = (tmp_path / STATE).read_bytes()
    (tmp_path / "toy.safetensors").unlink()
    assert go(tmp_path, resume=True).checkpoint.is_file()
    assert (tmp_path / STATE).read_bytes() == before


@pytest.mark.parametrize(
    ("event", "word"), [(float("nan"), "loss nan"), (float("inf"), "loss inf"), ("gradient", "grad_norm nan")]
)
def test_divergence_names_the_step_and_keeps_the_good_state(tmp_path: Path, event, word: str) -> None:
    with pytest.raises(DivergedError, match=f"diverged at step 6 .*{word}.*keeps the state of step 4") as caught:
        go(tmp_path, Toy(at6=event))
    assert "\n" not in str(caught.value)
    assert read_progress(tmp_path)["step"] == 4
    assert all(tensor.isfinite().all() for tensor in load_file(tmp_path / STATE).values())


def test_a_folder_with_a_run_is_not_overwritten(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds a run, at step 12; give --resume to go on with it"):
        go(whole)
    with pytest.raises(InputError, match=r"no state\.safetensors to resume"):
        go(tmp_path, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_named(whole: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(RuntimeError):
        go(tmp_path, Toy(at7=RuntimeError("power")))
    other = Toy()
    other.config = {**other.config, "width": 5}
    with pytest.raises(InputError, match=r"settings: --lr was 0\.01 and is 0\.02; config\.width was 4 and is 5\. Give"):
        go(tmp_path, other, config=replace(CONFIG, lr=0.02), resume=True)
    go(tmp_path, other, config=replace(CONFIG, lr=0.02), resume=True, allow_changes=True)
    output = capsys.readouterr()
    assert "changed since the last sitting: --lr was 0.01 and is 0.02; config.width was 4 and is 5" in output.err
    assert output.out == ""
    assert json.loads((tmp_path / "run.json").read_text())["train"]["lr"] == 0.02
    assert read_progress(tmp_path)["settings"]["train"]["lr"] == 0.02


def test_bf16_computes_in_bf16_and_keeps_float32_weights(tmp_path: Path) -> None:
    recipe = Toy()
    go(tmp_path, recipe, config=replace(CONFIG, precision="bf16"))
    assert set(recipe.dtypes) == {"torch.bfloat16"}
    assert {tensor.dtype for name, tensor in load_file(tmp_path / STATE).items() if tensor.is_floating_point()} == {
        torch.float32
    }
    fp32 = Toy()
    go(tmp_path / "fp32", fp32)
    assert set(fp32.dtypes) == {"torch.float32"}


@pytest.mark.parametrize("units", [torch.bfloat16, torch.float32])
def test_auto_computes_in_what_the_device_has_units_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: torch.dtype
) -> None:
    monkeypatch.setattr("talkface_core.training.engine.pick_dtype", lambda device: units)
    recipe = Toy()
    go(tmp_path, recipe, config=replace(CONFIG, precision="auto"))
    assert set(recipe.dtypes) == {str(units)}


def test_half_precision_weights_are_refused(tmp_path: Path) -> None:
    recipe = Toy()
    recipe.modules["gain"].half()
    with pytest.raises(InputError, match="float32"):
        go(tmp_path, recipe)


def test_a_frozen_network_stays_as_it_is(tmp_path: Path) -> None:
    recipe = Toy()
    recipe.modules["net"][3].requires_grad_(False)
    before = recipe.modules["net"][3].weight.clone()
    go(tmp_path, recipe)
    assert torch.equal(recipe.modules["net"][3].weight, before)


def test_the_progress_bar_and_silence(tmp_path: Path, capsys) -> None:
    go(tmp_path / "a")
    assert capsys.readouterr() == ("", "")
    go(tmp_path / "b", quiet=False)
    output = capsys.readouterr()
    assert output.out == ""
    assert "toy: 100%" in output.err


def test_a_run_begins_with_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    go(tmp_path / "own", steps=1, config=replace(CONFIG, lr=1e-9), init=whole / "toy.safetensors")
    first, own = (load_file(run / "toy.safetensors") for run in (whole, tmp_path / "own"))
    torch.testing.assert_close(own["net.0.weight"], first["net.0.weight"], atol=1e-6, rtol=0)
    assert json.loads((tmp_path / "own" / "run.json").read_text())["config"]["init"] == "toy"
    (tmp_path / "own" / "toy.safetensors").unlink()
    with pytest.raises(InputError, match="--init was 'toy' and is not given"):
        go(tmp_path / "own", config=replace(CONFIG, lr=1e-9), resume=True)
    gone = tmp_path / "gone" / "toy.safetensors"  # a run that goes on does not read it again
    assert go(tmp_path / "own", steps=2, config=replace(CONFIG, lr=1e-9), resume=True, init=gone).step == 2


def test_a_network_that_was_not_there_before_is_told_without_its_sizes(tmp_path: Path) -> None:
    go(tmp_path, steps=1)
    recipe = Toy()
    recipe.config = {**recipe.config, "expert": {"width": 3}}
    with pytest.raises(InputError, match="expert was not given and is given"):
        go(tmp_path, recipe, resume=True)


def test_a_checkpoint_of_other_networks_begins_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds probe of landmark-probe, and toy trains net, gain; begin with"):
        go(tmp_path, init="landmark_probe")
    with pytest.raises(InputError, match="no such file"):
        go(tmp_path, init=tmp_path / "gone.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_training_leaves_the_random_state_of_its_caller(tmp_path: Path) -> None:
    recipe = Toy()
    before = torch.get_rng_state()
    go(tmp_path, recipe)
    assert torch.equal(torch.get_rng_state(), before)


def test_unknown_device(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device 'tpu'"):
        go(tmp_path, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA GPU"):
            go(tmp_path, device="cuda")


def test_two_processes_average_their_gradients(tmp_path: Path) -> None:
    """Two CPU processes, as a launcher starts them, step as one process does on the mean of both losses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.training.linear", str(tmp_path / "two")]
    ranks = [{**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"} for rank in "01"]
    pair = [subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) for env in ranks]
    errors = [process.communicate()[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    run(tmp_path / "one", Linear(processes=2))
    two, one = (load_file(tmp_path / name / STATE) for name in ("two", "one"))
    assert two.keys() == one.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-4, atol=1e-6)
    assert read_progress(tmp_path / "two")["settings"]["processes"] == 2
    logs = [[float(row["loss"]) for row in rows(tmp_path / name)] for name in ("two", "one")]
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    assert len(logs[0]) == 3


def test_who_watches_sees_each_step_and_may_end_the_run(tmp_path: Path, whole: Path) -> None:
    """Ended so, there is a state and no checkpoint; gone on with, the run is as if nobody had asked."""
    seen = []

    def watch(step: int, means: object, picture: object) -> bool:
        seen.append((step, means is not None, picture is not None))
        return step == 6

    assert go(tmp_path, watch=watch).reason == "asked"
    assert seen == [(step, step % 2 == 0, step == 6) for step in range(1, 7)]
    assert not list(tmp_path.glob("toy.safetensors"))
    go(tmp_path, resume=True)
    assert_same_run(tmp_path, whole)
