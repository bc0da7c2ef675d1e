"""What holds for every registered recipe, also for the next one: on another device, in two processes, when resumed."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from talkface_core.acoustic.model import load_acoustic
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.recipes import RECIPES
from talkface_core.training.engine import train
from talkface_core.training.setup import load_init
from talkface_core.training.state import STATE, read_progress
from tests.training.elsewhere import DEVICE, Elsewhere, OtherDevice, move
from tests.training.every import begin, plan, run, toy_set

ROOT = Path(__file__).parents[2]
LATE = 10**6  # a step at which no loss is put off any more, and that whatever is measured now and then falls on
TOGETHER = 420  # seconds in which two processes are done with all recipes, also on a busy machine

every_recipe = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The toy set, and a checkpoint of each recipe's first weights to begin with."""
    folder = tmp_path_factory.mktemp("recipes")
    toy_set(folder)
    for name in RECIPES:
        recipe = plan(name, folder, "--seed", 5).recipe
        recipe.save(begin(name, folder), {key: net.eval() for key, net in recipe.modules.items()}, {"recipe": name})
    return folder


@every_recipe
def test_a_run_begins_with_the_components_of_a_checkpoint(folder: Path, name: str) -> None:
    recipe, stored = plan(name, folder, "--init", begin(name, folder)).recipe, read_checkpoint(begin(name, folder))
    taken = recipe.modules.keys() & stored.states.keys()
    assert taken
    load_init(recipe, begin(name, folder))
    for part in taken:
        for key, value in recipe.modules[part].state_dict().items():
            assert torch.equal(value, stored.states[part][key].to(value.dtype)), f"{part}.{key}"


@every_recipe
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(folder: Path, name: str, tmp_path: Path) -> None:
    whole = run(name, folder, tmp_path / "whole")
    assert run(name, folder, tmp_path / "cut", max_seconds=0).step == 1
    result = run(name, folder, tmp_path / "cut", resume=True)
    for one, other in ((whole.state, result.state), (whole.checkpoint, result.checkpoint)):
        one, other = load_file(one), load_file(other)
        assert one.keys() == other.keys()
        assert [key for key in one if not torch.equal(one[key], other[key])] == []


@every_recipe
def test_loss_sample_and_checkpoint_keep_to_the_device(
    folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know the make-believe device
    monkeypatch.setattr("talkface_core.device.ORDERED", (DEVICE.type,))
    recipe = plan(name, folder).recipe
    with OtherDevice() as device:
        for net in recipe.modules.values():
            move(net.train())
        recipe.prepare(DEVICE)
        for first, steps in ((1, (1,)), (LATE, (LATE, LATE + 1))):
            batch = {key: value.to(DEVICE) for key, value in recipe.batch(first, np.random.default_rng(0)).items()}
            for step in steps:
                device.waits.clear()
                losses = recipe.loss(batch, step)
                assert {type(value) for value in losses.values()} == {Elsewhere}
                if step != LATE:  # an ordinary step never waits
                    assert device.waits == []
        losses["loss"].backward()
        assert device.waits == []
        weights = [weight for net in recipe.modules.values() for weight in net.parameters() if weight.requires_grad]
        assert all(weight.grad is not None for weight in weights)
        with torch.no_grad():
            nets = {key: net.eval() for key, net in recipe.modules.items()}
            picture = recipe.sample(nets)
            recipe.save(tmp_path / "net.safetensors", nets, {})
    assert picture is None or (picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3)
    states = read_checkpoint(tmp_path / "net.safetensors").states
    assert all(value.isfinite().all() for state in states.values() for value in state.values())


@pytest.fixture(scope="module")
def pair(folder: Path) -> Path:
    """Runs of all recipes in two processes, one after the other."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.every", str(folder), str(folder / "meeting")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    ranks = [{**os.environ, **shared, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    processes = [subprocess.Popen(command, cwd=ROOT, env=ranked, **pipes) for ranked in ranks]
    outputs, late = [], False
    for process in processes:
        try:
            outputs.append(process.communicate(timeout=TOGETHER))
        except subprocess.TimeoutExpired:
            late = True
            for waiting in processes:
                waiting.kill()
            outputs.append(process.communicate())
    at = [out.split()[-1:] for out, _ in outputs]
    assert not late, f"two processes wait for each other for ever, in the recipes {at}"
    assert [process.returncode for process in processes] == [0, 0], outputs
    return folder / "pair"


@every_recipe
def test_two_processes_draw_save_and_end(pair: Path, name: str) -> None:
    progress = read_progress(pair / name)
    assert (progress["step"], progress["settings"]["processes"]) == (2, 2)
    checkpoint = read_checkpoint(pair / name / f"{name}.safetensors")
    assert checkpoint.provenance["config"]["processes"] == 2
    pictures = sorted((pair / name / "samples").glob("*.png"))
    assert len(pictures) == 2
    assert cv2.imread(str(pictures[0])) is not None
    state = load_file(pair / name / STATE)
    assert all(value.isfinite().all() for key, value in state.items() if not key.endswith("schedule/measured"))


def test_wav2lip_begins_with_the_bundled_weights(folder: Path, tmp_path: Path) -> None:
    planned = plan("wav2lip", folder, "--init", "ladtalk_tiny")
    result = train(
        planned.recipe, tmp_path, 1, planned.config, init="ladtalk_tiny", sample_every=0, device="cpu", quiet=True
    )
    assert read_checkpoint(result.checkpoint).provenance["config"]["recipe"]["init"] == "ladtalk_tiny"
    bundled, own = (read_checkpoint(path) for path in (find_checkpoint("ladtalk_tiny"), result.checkpoint))
    hears = {**bundled.configs["wav2lip"], "acoustic_of": ""}  # as they do, by an acoustic model of its own
    assert own.configs["wav2lip"] == hears
    for name, weight in load_acoustic(bundled.configs["wav2lip"]["acoustic_of"]).state_dict().items():
        torch.testing.assert_close(own.states["acoustic"][name].float(), weight, atol=0, rtol=0)
    before, after = (stored.states["wav2lip"]["pixels.weight"].float() for stored in (bundled, own))
    torch.testing.assert_close(after[: len(before)], before, atol=0.01, rtol=0)
