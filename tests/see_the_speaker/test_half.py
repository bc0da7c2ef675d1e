"""The whole system in half precision, with the layers that a CPU takes for it: the same pictures but for rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.components import build
from talkface_core.device import HALF_ON_CPU
from talkface_core.media.audio import open_audio
from talkface_core.media.picture import read_picture
from talkface_core.see_the_speaker.imagining import Imagining, imagine
from talkface_core.see_the_speaker.model import SYSTEM, SeeTheSpeaker, load_see_the_speaker
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.pipeline import animate
from talkface_core.see_the_speaker.renderer import COMPONENT, RENDERER, RendererConfig
from tests.see_the_speaker.small_renderer import small_base, small_tiny, trained_looking
from tests.see_the_speaker.small_see_the_speaker import save_small_see_the_speaker

SAMPLES = Path(__file__).parents[2] / "samples"
HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_see_the_speaker(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture(scope="module")
def landmarks() -> Tensor:
    with np.load(SAMPLES.parent / "tests" / "fixtures" / "ada_talks.npz") as known:
        return torch.from_numpy(known["landmarks"][0])


def shown(model: SeeTheSpeaker, landmarks: Tensor) -> list[Tensor]:
    """Frames of an animated picture and a guessed portrait, in 0..1."""
    picture = torch.from_numpy(read_picture(SAMPLES / "portrait.jpg"))
    source = open_audio(SAMPLES / "hello.flac", 0.0, 1.5)
    frames = torch.cat(list(animate(model.motion, model.renderer, picture, landmarks, source, fps=8)))
    assert model.portrait is not None
    return [frames / 255, imagine(model.portrait, model.renderer, source, Imagining("none", steps=2))]


@HALVES
def test_all_of_it_runs_in_halves(small: Path, landmarks: Tensor, dtype: torch.dtype) -> None:
    half = load_see_the_speaker(small, "cpu", dtype)
    assert half.dtype == dtype
    exact = shown(load_see_the_speaker(small, "cpu", torch.float32), landmarks)
    # Portraits of random weights are noise, which rounding moves further.
    for one, other, most in zip(shown(half, landmarks), exact, (0.02, 0.1), strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().mean() < most


@HALVES
@pytest.mark.parametrize("config", [small_tiny(), small_base()])
def test_a_renderer_in_halves_draws_the_same(config: RendererConfig, dtype: torch.dtype, tmp_path: Path) -> None:
    path = tmp_path / "renderer.safetensors"
    save_checkpoint(path, SYSTEM, {COMPONENT: trained_looking(config)}, {COMPONENT: config.to_dict()}, {})
    torch.manual_seed(1)
    picture, motion = (
        torch.rand(1, 3, 64, 64),
        Motion(
            0.05 * torch.randn(2, config.keypoints, 3),
            10 * torch.randn(2, 3),
            0.1 * torch.randn(2, 3),
            torch.ones(2, 1),
        ),
    )
    stored = read_checkpoint(path)
    exact, half = build(stored, RENDERER), build(stored, RENDERER, HALF_ON_CPU, dtype)
    known, same = exact.identity(picture), half.identity(picture)
    assert same.volume.dtype == dtype
    assert torch.equal(known.canonical, same.canonical)  # half a number's steps would be seen as a tremble
    assert (exact.render(known, motion) - half.render(same, motion)).abs().mean() < 0.01
