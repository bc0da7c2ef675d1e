"""The files of the stages before: taken for what they hold, and told apart where they are swapped."""

from pathlib import Path

import pytest

from talkface_core.checkpoints import CheckpointError
from talkface_core.landmark_diffusion.training.stage_files import read_stages
from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion

PAINTING, HEARING = ("autoencoder", "talkformer"), ("completion", "acoustic", "gate")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A file of each stage, and one of both."""
    left_out = {"words": PAINTING, "paint": HEARING, "whole": ()}
    return {
        name: str(save_small_landmark_diffusion(tmp_path / f"{name}.safetensors", *without))
        for name, without in left_out.items()
    }


def test_each_flag_takes_its_stage_or_a_whole_system(files):
    for names in (("words", "paint"), ("whole", "paint"), ("words", "whole"), ("whole", "whole")):
        completion, painter = read_stages(*(files[name] for name in names))
        assert "completion" in completion.configs
        assert "talkformer" in painter.configs


def test_swapped_files_are_called_so(files):
    with pytest.raises(CheckpointError, match=r"--completion .*paint.* holds autoencoder, talkformer; .*swapped"):
        read_stages(files["paint"], files["words"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("paint", "paint"), r"--completion takes a file with a completion\.$"),
        (("words", "words"), r"--painter takes a file with a talkformer\.$"),
    ],
)
def test_the_flag_that_lacks_its_stage_is_named(files, names, words):
    with pytest.raises(CheckpointError, match=words):
        read_stages(*(files[name] for name in names))
