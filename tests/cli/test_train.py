"""`train`: two steps of a recipe on the fixture clip, and what is refused before any work."""

import json
import sys
from pathlib import Path

import pytest

from talkface_core.checkpoints import read_checkpoint
from tests.dae_talker.small import save_small_talker

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "tests" / "fixtures"


def test_a_run_ends_in_a_checkpoint_and_goes_on_later(talkface, tmp_path):
    words = ("train", "dae-talker-autoencoder", "--data", CLIPS, "--out", tmp_path / "run", "--device", "cpu")
    small = (*words, "--batch-size", 1, "--sample-every", 0, "--log-every", 1, "--json", "--quiet")
    ended = talkface(*small, "--steps", 1, "--lr", 1e-4, "--seed", 7)
    assert (ended.status, ended.err) == (0, "")
    result = json.loads(ended.out)
    assert (result["steps"], result["ended_by"]) == (1, "steps")
    checkpoint = read_checkpoint(result["output"], "dae_talker")
    train = checkpoint.provenance["config"]["train"]
    assert (train["lr"], train["seed"], checkpoint.provenance["steps"]) == (1e-4, 7, 1)

    again = talkface(*small, "--steps", 2, "--lr", 1e-4, "--seed", 7)
    assert again.status == 2
    assert "holds a run, at step 1; give --resume" in again.err
    other = talkface(*small, "--steps", 2, "--lr", 1e-3, "--seed", 7, "--resume")
    assert other.status == 2
    assert "other settings: --lr was 0.0001 and is 0.001. Give the run's own, or --allow-changes." in other.err
    larger = talkface(*small, "--steps", 2, "--lr", 1e-4, "--seed", 7, "--resume", "--batch-size", 2)
    assert "--batch-size was 1 and is 2" in larger.err
    more = talkface(*small, "--steps", 2, "--lr", 1e-4, "--seed", 7, "--resume")
    assert json.loads(more.out)["steps"] == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--steps 0", "--steps 0: give a number above zero"),
        ("--batch-size -1", "--batch-size: -1: give a number above zero"),
        ("--lr nan", "--lr nan"),
        ("--max-minutes 0", "--max-minutes 0.0"),
        ("--seed -1", "--seed: -1: a seed is a whole number from 0"),
        ("--seed 99999999999999999999", "a seed is a whole number from 0"),
        ("--save-every -1", "--save-every -1"),
        ("--preset huge", "'huge'"),
        ("--precision fp8", "'fp8'"),
        ("--data {tmp}/none", "none: no such folder"),
        ("--data {tmp}", "holds no .mp4 clip"),
        ("--out {tmp}/file", "file is a file; give a folder"),
        ("--resume", "no state.safetensors to resume from"),
    ],
)
def test_wrong_input_is_one_line_and_no_run(talkface, tmp_path, flags, message):
    (tmp_path / "file").write_text("x")
    words = [
        "train",
        "dae-talker-autoencoder",
        "--data",
        CLIPS,
        "--out",
        tmp_path / "run",
        "--quiet",
        "--batch-size",
        1,
    ]
    ended = talkface(*words, "--device", "cpu", *flags.format(tmp=tmp_path).split())
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not ended.out
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_missing_packages_are_named_with_the_command_that_brings_them(talkface, tmp_path, monkeypatch):
    for name in ("accelerate", "torchmetrics"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    ended = talkface("train", "sync", "--data", CLIPS, "--out", tmp_path / "run")
    assert ended.status == 2
    told = "talkface: training needs packages that are not installed (accelerate, torchmetrics): "
    assert ended.err.startswith(told + sys.executable)
    words = ended.err.split()
    assert words[-5:-1] == ["-m", "pip", "install", "-r"]
    assert Path(words[-1]) == ROOT / "requirements-train.txt"


def test_unknown_recipes_and_flags_of_another_recipe(talkface, tmp_path):
    ended = talkface("train", "magic", "--data", CLIPS, "--out", tmp_path)
    assert ended.status == 2
    assert "dae-talker-autoencoder" in ended.err
    ended = talkface("train", "landmark-probe", "--data", CLIPS, "--out", tmp_path, "--preset", "base")
    assert ended.status == 2
    assert "landmark-probe has no use for --preset; leave it out" in ended.err


def test_the_second_stage_makes_a_model_that_speaks(talkface, speech, tmp_path):
    first = tmp_path / "first.safetensors"
    save_small_talker(first, speech2latent=None, gate=None)
    words = ("train", "dae-talker", "--data", CLIPS, "--device", "cpu", "--quiet", "--steps", 1, "--batch-size", 1)
    ended = talkface(*words, "--out", tmp_path / "run", "--autoencoder", first, "--voices", CLIPS, "--json")
    assert (ended.status, ended.err) == (0, "")
    model = json.loads(ended.out)["output"]
    assert read_checkpoint(model).configs.keys() == {"autoencoder", "speech2latent", "gate"}
    spoken = talkface("speak", speech, "-o", tmp_path / "out.mp4", "--model", model, "--device", "cpu", "--quiet")
    assert spoken.status == 0
    assert (tmp_path / "out.mp4").is_file()

    without = talkface(*words, "--out", tmp_path / "other")
    assert without.status == 2
    assert "dae-talker needs --autoencoder" in without.err
