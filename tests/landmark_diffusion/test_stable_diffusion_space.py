"""The painter in the space of Stable Diffusion's VAE: recipes train in it, and checkpoints say that they need it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import CheckpointError, read_checkpoint, read_header
from talkface_core.components import problem
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.denoiser import DenoiserConfig, LandmarkDenoiser
from talkface_core.landmark_diffusion.kl_autoencoder import kl_space
from talkface_core.landmark_diffusion.latent_space import STABLE_DIFFUSION
from talkface_core.landmark_diffusion.model import COMPONENTS, build_painter, load_landmark_diffusion, needs_vae
from talkface_core.landmark_diffusion.painter import TalkFormerModel
from talkface_core.landmark_diffusion.training.picture_batches import PictureBatches
from talkface_core.landmark_diffusion.training.recipe_diffusion import DiffusionRecipe
from talkface_core.landmark_diffusion.training.recipe_end_to_end import EndToEndRecipe
from talkface_core.landmark_diffusion.vae_space import VaeSpace
from tests.acoustic.small_acoustic import small_acoustic
from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion, stirred
from tests.landmark_diffusion.small_painter import SMALL
from tests.landmark_diffusion.test_kl_autoencoder import saved, tiny
from tests.landmark_diffusion.test_picture_batches import talkers

SIDE = 64
BATCHES = PictureBatches(windows=1, singles=1, stills=0, augment=False)


def space(size: int = SIDE) -> VaeSpace:
    return kl_space(tiny(), size)


def denoiser(within: VaeSpace, config: DenoiserConfig = SMALL) -> LandmarkDenoiser:
    torch.manual_seed(0)
    return stirred(LandmarkDenoiser(config.within(within))).eval()


def diffusion(tmp_path: Path) -> Path:
    """Two steps of the recipe and its checkpoint."""
    recipe = DiffusionRecipe(talkers(side=SIDE), space(), SMALL, batches=replace(BATCHES, windows=0, singles=2))
    optimiser = torch.optim.Adam(recipe.net.parameters(), 1e-3)
    for step in range(2):
        optimiser.zero_grad()
        recipe.loss(recipe.batch(step, np.random.default_rng(step)), step)["loss"].backward()
        optimiser.step()
    assert recipe.sample(recipe.modules).dtype == np.uint8
    recipe.save(tmp_path / "stage.safetensors", recipe.modules, {"data": "made"})
    return tmp_path / "stage.safetensors"


def test_what_diffusion_trained_there_says_so(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(diffusion(tmp_path))
    assert list(checkpoint.configs) == ["talkformer"]
    assert checkpoint.configs["talkformer"]["space"] == STABLE_DIFFUSION
    assert needs_vae(checkpoint)
    assert problem(checkpoint, COMPONENTS) is None
    with pytest.raises(CheckpointError, match=r"connect a VAE .* give --vae FILE") as caught:
        build_painter(checkpoint)
    assert "\n" not in str(caught.value)
    model = build_painter(checkpoint, space=space())
    assert (model.size, model.references, model.device.type) == (SIDE, 2, "cpu")
    larger, points = torch.rand(1, 3, 96, 96), torch.rand(1, 68, 2)
    references = model.encode_references(larger, points).at(torch.tensor([[0, 0]]))
    assert model.paint(larger, points, references).shape == (1, 4, 96, 96)


def test_end_to_end_trains_all_but_the_decoder(tmp_path: Path) -> None:
    acoustic, own = small_acoustic(), space()
    config = CompletionConfig(
        audio=acoustic.config.width, width=16, heads=2, blocks=1, ff=16, context=2, frames=20, references=3, dropout=0.0
    )
    completion = LandmarkCompletion(config)
    torch.nn.init.normal_(completion.net.head.weight, std=0.1)
    painter = TalkFormerModel(own, denoiser(own))
    recipe = EndToEndRecipe(talkers(side=SIDE), completion, acoustic, painter, batches=BATCHES)
    assert list(recipe.modules) == ["completion", "talkformer"]
    batch = recipe.batch(0, np.random.default_rng(0))
    recipe.prepare(torch.device("cpu"))
    weights = {key: value.clone() for key, value in own.state_dict().items()}
    recipe.loss(batch, 0)["picture"].backward()
    assert recipe.completion.net.head.weight.grad.abs().sum() > 0
    assert recipe.talkformer.unet.conv_out.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in own.parameters())
    assert all(torch.equal(weights[key], value) for key, value in own.state_dict().items())
    recipe.sample(recipe.modules)
    recipe.save(tmp_path / "all.safetensors", recipe.modules, {})
    header = read_header(tmp_path / "all.safetensors")
    assert sorted(header.configs) == ["acoustic", "completion", "talkformer"]
    assert needs_vae(header)


def test_a_whole_one_with_a_vae_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_small_landmark_diffusion(tmp_path / "base.safetensors", "autoencoder", talkformer=denoiser(space(256)))
    with pytest.raises(CheckpointError, match="give --vae FILE"):
        load_landmark_diffusion(path, "cpu")
    vae = saved(tmp_path / "vae.safetensors")
    with pytest.raises(CheckpointError, match="of shape"):  # a tiny one is none of the public files
        load_landmark_diffusion(path, "cpu", vae=vae)
    monkeypatch.setattr("talkface_core.landmark_diffusion.model.read_kl_autoencoder", lambda _: tiny())
    model = load_landmark_diffusion(path, "cpu", torch.bfloat16, vae=vae)
    assert model.painter.size == 256
    assert model.dtype == torch.bfloat16
    assert next(model.painter.autoencoder.parameters()).dtype == torch.float32
    faces, points = torch.rand(2, 3, 256, 256), torch.rand(2, 68, 2)
    references = model.painter.encode_references(faces, points).at(torch.tensor([[0, 1], [1, 0]]))
    painted = model.painter.paint(faces, points, references)[:, :3]
    assert torch.equal(painted[:, :, :128], faces[:, :, :128])
    assert not torch.equal(painted[:, :, 160:], faces[:, :, 160:])


def test_spaces_are_not_taken_for_each_other(tmp_path: Path) -> None:
    own = save_small_landmark_diffusion(tmp_path / "own.safetensors")
    with pytest.raises(InputError, match="has an autoencoder of its own"):
        load_landmark_diffusion(own, "cpu", vae=tmp_path / "vae.safetensors")
    with pytest.raises(InputError, match="for the latent space 'own', given is 'stable-diffusion-f8'"):
        TalkFormerModel(space(), LandmarkDenoiser(SMALL))
    with pytest.raises(InputError, match="a latent space 'mine'"):
        replace(SMALL, space="mine")
    both = save_small_landmark_diffusion(tmp_path / "both.safetensors", talkformer=denoiser(space()))
    with pytest.raises(CheckpointError, match=r"both.safetensors: .*given is 'own'"):
        load_landmark_diffusion(both, "cpu")
