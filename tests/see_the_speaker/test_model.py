"""See the Speaker's sides put together: what a motion hears by where its file holds nothing for it, and sides that do
not fit."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from talkface_core import checkpoints
from talkface_core.checkpoints import CheckpointError, read_checkpoint, save_checkpoint
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.model import build_motion, check_together, load_see_the_speaker
from talkface_core.see_the_speaker.motion_diffusion import MotionDiffusion
from talkface_core.see_the_speaker.system import SYSTEM
from tests.see_the_speaker.small_motion import small_acoustic
from tests.see_the_speaker.small_see_the_speaker import (
    PORTRAIT,
    save_small_see_the_speaker,
    small_motion,
    small_renderer,
)

KEYPOINTS = small_renderer().config.keypoints


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder that stands for the bundled weights: another system's checkpoint with an acoustic model in it."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(checkpoints, "PRETRAINED", folder)
    torch.manual_seed(5)
    ear = small_acoustic()
    settings = {"acoustic": ear.config.to_dict()}
    save_checkpoint(folder / "ears.safetensors", "landmark_diffusion", {"acoustic": ear}, settings, {})
    return folder


def hearing(name: str) -> MotionDiffusion:
    """A motion that hears by another checkpoint's acoustic model."""
    net = small_motion(KEYPOINTS)
    net.config = replace(net.config, acoustic=name)
    return net


def motion_file(path: Path, **modules: nn.Module) -> Path:
    """A checkpoint of the motion side alone."""
    save_checkpoint(path, SYSTEM, modules, {name: module.config.to_dict() for name, module in modules.items()}, {})
    return path


def test_a_motion_hears_by_the_acoustic_model_that_it_names(bundled: Path, tmp_path: Path) -> None:
    path = motion_file(tmp_path / "small.safetensors", motion=hearing("ears"))
    heard = build_motion(read_checkpoint(path, SYSTEM)).acoustic
    wanted = read_checkpoint(bundled / "ears.safetensors", "landmark_diffusion")
    for name, value in heard.state_dict().items():
        assert torch.equal(value, wanted.states["acoustic"][name]), name


def test_its_own_goes_before(bundled: Path, tmp_path: Path) -> None:
    torch.manual_seed(6)
    own = small_acoustic()
    path = motion_file(tmp_path / "small.safetensors", acoustic=own, motion=hearing("ears"))
    heard = build_motion(read_checkpoint(path, SYSTEM)).acoustic
    assert all(torch.equal(value, own.state_dict()[name]) for name, value in heard.state_dict().items())


@pytest.mark.parametrize("name", ["nobody", "../ears", "{folder}/ears.safetensors"])
def test_a_name_that_is_none_of_the_bundled_is_refused(bundled: Path, tmp_path: Path, name: str) -> None:
    """And no path is followed: files come from strangers."""
    path = motion_file(tmp_path / "small.safetensors", motion=hearing(name.format(folder=bundled)))
    with pytest.raises(CheckpointError, match=r"small\.safetensors: it hears by .* no bundled checkpoint of that name"):
        build_motion(read_checkpoint(path, SYSTEM))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_see_the_speaker(tmp_path_factory.mktemp("weights") / "small.safetensors", *PORTRAIT)


def test_sides_of_one_kind_go_together(whole: Path, tmp_path: Path) -> None:
    """Of one file, or the motion of another that was told in as many keypoints."""
    torch.manual_seed(7)
    ear = small_acoustic()
    joined = load_see_the_speaker(
        whole, "cpu", motion=motion_file(tmp_path / "other.safetensors", motion=small_motion(KEYPOINTS), acoustic=ear)
    )
    assert joined.path == whole
    assert joined.portrait is None
    heard = joined.motion.acoustic.state_dict()
    assert all(torch.equal(value, heard[name]) for name, value in ear.state_dict().items())


def test_a_motion_of_other_keypoints_is_refused(whole: Path, tmp_path: Path) -> None:
    motion = small_motion(KEYPOINTS + 1)
    other = motion_file(tmp_path / "other.safetensors", motion=motion, acoustic=small_acoustic())
    words = (
        rf"small\.safetensors: its renderer has {KEYPOINTS} keypoints of the pack's own kind, the motion was learnt "
    )
    with pytest.raises(CheckpointError, match=words + f"for {KEYPOINTS + 1} of the pack's own kind"):
        load_see_the_speaker(whole, "cpu", motion=other)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("turns", [True, False])
def test_two_kinds_of_keypoints_are_told_apart(relative: bool, turns: bool) -> None:
    """As many, but of LivePortrait's kind on one side alone; each is named by its own."""
    renderer = SimpleNamespace(net=SimpleNamespace(config=SimpleNamespace(keypoints=21, turns=turns)))
    motion = SimpleNamespace(diffusion=SimpleNamespace(config=SimpleNamespace(keypoints=21, relative=relative)))
    if relative == turns:
        check_together(motion, renderer, "both")
        return
    kinds = {True: "of the pack's own kind", False: "of LivePortrait's kind"}
    with pytest.raises(InputError, match=r"^both: ") as caught:
        check_together(motion, renderer, "both")
    assert f"has 21 keypoints {kinds[turns]}" in str(caught.value)
    assert f"learnt for 21 {kinds[relative]}" in str(caught.value)
