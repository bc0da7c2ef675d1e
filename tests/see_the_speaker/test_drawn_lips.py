"""Refined lips as a lip expert sees them: drawn of a frame of the clip, with a gradient to the refinement alone."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from talkface_core.datasets.clips import ClipSet
from talkface_core.errors import InputError
from talkface_core.faces.lip_reading import cut
from talkface_core.see_the_speaker.motion_diffusion import MotionSampling
from talkface_core.see_the_speaker.renderer import HolisticRenderer
from talkface_core.see_the_speaker.training.drawn_lips import DrawnLips
from talkface_core.see_the_speaker.training.motion_clips import MotionClip, read_motion_clips
from talkface_core.see_the_speaker.training.motion_losses import expression
from talkface_core.see_the_speaker.training.moving_heads import MovingHeads, moving_heads
from talkface_core.see_the_speaker.training.recipe_lip_refinement import LipRecipe, LipTraining
from talkface_core.see_the_speaker.training.recipe_motion import motion_data, open_renderer
from talkface_core.sync.syncnet import SyncNet, drawn_sync_loss, load_syncnet
from tests.see_the_speaker.small_motion import small_acoustic, small_diffusion
from tests.see_the_speaker.small_renderer import small_base, small_tiny

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("clips")
    for suffix in (".mp4", ".flac", ".npz"):
        shutil.copy(FIXTURES / f"ada_talks{suffix}", made / f"ada{suffix}")
    return made


@pytest.fixture(scope="module")
def clips(folder: Path) -> list[MotionClip]:
    return read_motion_clips(folder, folder / "cache")


@pytest.fixture(scope="module")
def heads(folder: Path) -> MovingHeads:
    return moving_heads(ClipSet.open(folder), 128, 1.4, folder / "cache", pad=0, every=25, quiet=True)


@pytest.fixture(scope="module")
def expert() -> SyncNet:
    return load_syncnet("sync_tiny")


@pytest.fixture(scope="module")
def drawn(clips: list[MotionClip], heads: MovingHeads, expert: SyncNet) -> DrawnLips:
    renderer, _ = open_renderer("see_the_speaker_tiny")
    assert renderer is not None
    return DrawnLips(expert, renderer, heads, clips)


def test_true_lips_go_with_their_sound_and_others_do_not(drawn: DrawnLips, clips: list[MotionClip]) -> None:
    values, middles = clips[0].values, list(range(4, 26, 3))
    batch = default_collate([drawn.batch(0, middle, np.random.default_rng(0)) for middle in middles])

    def loss(moments: list[int]) -> float:
        said = torch.stack([expression(values[at - 2 : at + 3]) for at in moments])
        return float(drawn.loss(said, batch))

    true = loss(middles)
    assert true < 0.5
    assert loss(middles[::-1]) > 1.5
    assert loss([15] * len(middles)) > 1.5  # what is right once does not go with every sound


def test_the_picture_is_the_clips_own_face(drawn: DrawnLips, heads: MovingHeads, clips: list[MotionClip]) -> None:
    """Of the true motion of the frame that is moved, that frame comes out; its face lies where the expert has it."""
    batch = default_collate([drawn.batch(0, 5, np.random.default_rng(0))])
    number = int((heads.frames == batch["picture"][0].numpy()).all((1, 2, 3)).argmax())
    said = expression(clips[0].values[25 * number]).expand(1, 5, -1, -1)
    pictures = drawn.pictures(said, batch)
    real = torch.from_numpy(heads.frames[number].copy()).permute(2, 0, 1).float() / 255
    assert pictures.shape == (5, 3, 128, 128)
    assert float((pictures[2] - real).abs().mean()) < 0.02
    points = torch.from_numpy(heads.landmarks[number]) / 64 - 1
    there = torch.linalg.solve(batch["where"][0, :, :2], (points - batch["where"][0, :, 2]).T).T
    assert float(there[36:48, 1].mean()) == pytest.approx(2 * 0.365 - 1, abs=0.03)  # the eyes' level
    assert cut(pictures, batch["where"].expand(5, -1, -1), 96).shape == (5, 3, 96, 96)


def test_a_gradient_reaches_the_refinement_alone(drawn: DrawnLips, clips: list[MotionClip]) -> None:
    torch.manual_seed(0)
    motion = small_diffusion(keypoints=21, controls=("opening",), sampling=MotionSampling(steps=2))
    acoustic = small_acoustic()
    settings = LipTraining(windows=3, frames=20, takes=1, drawn=2)
    recipe = LipRecipe(motion_data(clips, acoustic), motion, acoustic, settings=settings, drawn=drawn)
    batch = recipe.batch(0, np.random.default_rng(0))
    assert all(torch.equal(part, recipe.batch(0, np.random.default_rng(0))[name]) for name, part in batch.items())
    assert batch["frames"].shape == (2, 5)
    assert batch["sound"].shape == (2, 1, 80, 16)
    # A last layer of zeros lets nothing through.
    for attend in recipe.net.attend.values():
        torch.nn.init.normal_(attend.out.weight, std=0.1)
    terms = recipe.loss(batch, 0)
    terms["sync"].backward()
    assert all(weight.grad is not None for weight in recipe.net.parameters())
    assert all(float(attend.out.weight.grad.abs().max()) > 0 for attend in recipe.net.attend.values())
    frozen = [*drawn.parameters(), *motion.parameters(), *acoustic.parameters()]
    assert all(weight.grad is None for weight in frozen)
    without = LipRecipe(motion_data(clips, acoustic), motion, acoustic, settings=settings)
    assert "sync" not in without.loss(without.batch(0, np.random.default_rng(0)), 0)


def test_the_loss_of_drawn_faces_is_that_of_their_lower_halves(expert: SyncNet) -> None:
    generator = torch.Generator().manual_seed(0)
    faces = torch.rand(15, 3, 128, 128, generator=generator)
    windows = torch.randn(3, 1, 80, 16, generator=generator)
    each = torch.stack([drawn_sync_loss(expert, faces[5 * k : 5 * k + 5], windows[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(drawn_sync_loss(expert, faces, windows), each.mean())
    share = torch.tensor([0.5, 0.0, 1.0])
    expected = (share * each).sum() / share.sum()
    torch.testing.assert_close(drawn_sync_loss(expert, faces, windows, share), expected)


def test_what_does_not_fit_is_refused(heads: MovingHeads, clips: list[MotionClip], expert: SyncNet) -> None:
    with pytest.raises(InputError, match="tied to landmarks"):
        DrawnLips(expert, HolisticRenderer(small_base()), heads, clips)
    with pytest.raises(InputError, match="heads of 1 clips at 128 px; expected 1 clips at 64 px"):
        DrawnLips(expert, HolisticRenderer(small_tiny()), heads, clips)
    with pytest.raises(InputError, match="expected 2 clips"):
        DrawnLips(expert, HolisticRenderer(small_tiny(128)), heads, [*clips, replace(clips[0], name="b")])
