"""What the paper adds: a gradient from the picture back to the landmarks and to who completes them."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.training.picture_batches import PictureBatches
from talkface_core.landmark_diffusion.training.recipe_autoencoder import ENCODER
from talkface_core.landmark_diffusion.training.recipe_end_to_end import EndToEndLoss, EndToEndRecipe
from talkface_core.sync.syncnet import SyncNet, SyncNetConfig
from tests.acoustic.small_acoustic import small_acoustic
from tests.landmark_diffusion.small_painter import small_painter
from tests.landmark_diffusion.test_picture_batches import talkers

NOTHING = EndToEndLoss(**{field.name: 0.0 for field in fields(EndToEndLoss)})


def recipe(weights: EndToEndLoss) -> EndToEndRecipe:
    acoustic = small_acoustic()
    torch.manual_seed(0)
    config = CompletionConfig(
        audio=acoustic.config.width, width=16, heads=2, blocks=1, ff=16, context=2, frames=20, references=3, dropout=0.0
    )
    completion = LandmarkCompletion(config)
    torch.nn.init.normal_(completion.net.head.weight, std=0.1)
    expert = SyncNet(SyncNetConfig.preset("tiny"))
    batches = PictureBatches(windows=1, singles=1, stills=0, augment=False)
    return EndToEndRecipe(talkers(), completion, acoustic, small_painter(), expert, batches=batches, weights=weights)


@pytest.mark.parametrize("term", ["picture", "sync", "latents"])
def test_the_picture_teaches_the_completion(term: str) -> None:
    made = recipe(replace(NOTHING, **{term: 1.0}))
    made.loss(made.batch(0, np.random.default_rng(0)), 0)["loss"].backward()
    grad = made.completion.net.head.weight.grad
    assert grad is not None
    # Of each point's x and y: jaw and lips alike.
    assert (grad.abs().sum(1) > 0).float().mean() > 0.9


def test_the_latent_space_stays() -> None:
    made = recipe(EndToEndLoss())
    made.loss(made.batch(0, np.random.default_rng(0)), 0)["loss"].backward()
    for name in ENCODER:
        assert all(weight.grad is None for weight in getattr(made.autoencoder, name).parameters())
    assert made.autoencoder.out.weight.grad is not None
    assert all(weight.grad is None for weight in made.acoustic.parameters())


def test_five_frames_share_step_and_noise() -> None:
    made = recipe(EndToEndLoss())
    batch = made.batch(0, np.random.default_rng(0))
    assert len(set(batch["t"][:5].tolist())) == 1
    assert (batch["eps"][:5] == batch["eps"][:1]).all()
    assert not torch.equal(batch["eps"][5], batch["eps"][0])


def test_much_noise_leaves_the_lip_expert_little_to_say() -> None:
    made = recipe(EndToEndLoss())
    pictures, windows = torch.rand(10, 3, 32, 32), torch.randn(2, 1, 80, 16)
    one, other = (made._sync(pictures, windows, torch.tensor(alpha)) for alpha in ([1.0, 0.01], [0.01, 1.0]))
    alone = made._sync(pictures[:5], windows[:1], torch.tensor([0.5]))
    torch.testing.assert_close(one, alone, atol=1e-3, rtol=0)
    assert (one - other).abs() > 1e-5


def test_the_completion_is_shown_one_pose_and_its_words_follow_each_frames() -> None:
    """Neither how the footage's head moves nor its mouth reaches what is said; where it is said is each frame's own."""
    made = recipe(EndToEndLoss())
    batch = made.batch(0, np.random.default_rng(0))
    known, middle = made.completion.landmarks, int(batch["inside"][0]) + 2
    made.completion.eval()
    plain, _ = made._completed(batch)

    moving = torch.linspace(-0.03, 0.03, batch["around"].shape[1])[None, :, None, None] * torch.tensor([1.0, 0.5])
    moving = moving - moving[:, middle : middle + 1]
    turned, _ = made._completed({**batch, "around": batch["around"] + moving})
    own = moving[0, middle - 2 : middle + 3]
    torch.testing.assert_close(turned, plain + own, atol=1e-5, rtol=0)

    other = batch["around"].clone()
    other[:, :, list(known.content)] += 0.02 * torch.randn(other[:, :, list(known.content)].shape)
    said, _ = made._completed({**batch, "around": other})
    torch.testing.assert_close(said, plain, atol=1e-6, rtol=0)
