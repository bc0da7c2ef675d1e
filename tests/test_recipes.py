"""The registry of recipes: every entry is what it says, and nothing heavy is imported before one is chosen."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from talkface_core.cli.main import make_parser
from talkface_core.errors import InputError
from talkface_core.recipes import RECIPES, make_plan, recipe_class
from talkface_core.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "tests" / "fixtures"


@pytest.mark.parametrize("name", RECIPES)
def test_every_entry_is_a_recipe_of_that_name(name: str) -> None:
    assert issubclass(recipe_class(name), Recipe)
    assert recipe_class(name).name == name


@pytest.mark.parametrize("name", RECIPES)
def test_the_help_of_a_recipe_shows_its_own_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = argparse.ArgumentParser(add_help=False)
    recipe_class(name).add_arguments(own)
    flags = [action.option_strings[-1] for action in own._actions]
    with pytest.raises(SystemExit, match="0"):
        make_parser().parse_args(["train", name, "--help"])
    text = capsys.readouterr().out
    assert all(flag in text for flag in ("--data", "--init", *flags))


def test_an_unknown_recipe() -> None:
    with pytest.raises(InputError, match=r"'magic' is unknown; choose one of .*sovqae"):
        make_plan("magic", argparse.Namespace(seed=0))


def test_first_weights_follow_from_the_seed_alone(tmp_path: Path) -> None:
    """torch seeds itself by chance in every new process: weights that are drawn before a seed is set differ."""
    words = ["train", "landmark-probe", "--data", CLIPS, "--out", tmp_path, "--cache", tmp_path, "--quiet", "--seed"]

    def first_weights(seed: int) -> dict[str, torch.Tensor]:
        torch.seed()
        before = torch.get_rng_state()
        args = make_parser().parse_args([str(word) for word in (*words, seed)])
        weights = make_plan("landmark-probe", args).recipe.modules["probe"].state_dict()
        assert torch.equal(torch.get_rng_state(), before)
        return weights

    one, again, other = first_weights(3), first_weights(3), first_weights(4)
    assert all(torch.equal(value, again[key]) for key, value in one.items())
    assert not torch.equal(one["stem.weight"], other["stem.weight"])


def test_the_program_imports_no_torch_before_a_recipe_is_chosen() -> None:
    script = """
import sys
from talkface_core.cli.main import make_parser
try:
    make_parser().parse_args(["train", "--help"])
except SystemExit as end:
    assert end.code == 0
assert not {"torch", "accelerate", "cv2"} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in RECIPES)
