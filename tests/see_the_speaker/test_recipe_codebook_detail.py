"""The codebook's last stage: squares that lie together, who learns, and detail that training brings."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.cli.main import main
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.faces.landmarks import MOUTH
from talkface_core.see_the_speaker.codebook import CODEBOOK, CodebookDecoder
from talkface_core.see_the_speaker.training.codebook_batches import CodebookBatches, Portraits, Softness
from talkface_core.see_the_speaker.training.recipe_codebook_detail import (
    DetailRecipe,
    DetailTraining,
    with_detail,
)
from talkface_core.training.adversarial import AdversarialLoss, PatchDiscriminatorConfig
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from tests.see_the_speaker.small_codebook import SMALL, save_small_codebook, small_decoder
from tests.see_the_speaker.test_recipe_codebook import FIXTURES, portraits, rng

JUDGE = PatchDiscriminatorConfig(channels=(8, 8), norm=False)
PLAIN = CodebookBatches(size=3, softness=Softness(blur=-0.5, featured=0.0, resampled=0.0, noise=0.0))


def recipe(films: Portraits | None = None, codebook: CodebookDecoder | None = None, **training: object) -> DetailRecipe:
    torch.manual_seed(0)
    codebook = codebook or with_detail(small_decoder(replace(SMALL, detail=None)), SMALL.detail)
    settings = replace(DetailTraining(side=8, squares=2), **training)
    return DetailRecipe(films or portraits(), "toys/train", codebook, JUDGE, batches=PLAIN, training=settings)


def test_squares_lie_about_the_mouth_or_anywhere() -> None:
    films = portraits()
    films.landmarks[:, MOUTH] = 24.0
    tested = recipe(films, mouth=1.0)
    corners = torch.cat([tested.batch(0, rng(seed))["corners"] for seed in range(8)]).float()
    # The sampler moves, mirrors: the mouth is at 12 or 4 pixels of the soft picture, less 4 for half a square.
    assert corners.min() >= 0
    assert corners.max() <= 8
    assert corners[..., 1].mean() > 6
    anywhere = recipe(films, mouth=0.0, eyes=0.0)
    spread = torch.cat([anywhere.batch(0, rng(seed))["corners"] for seed in range(8)]).float()
    assert spread[..., 1].std() > corners[..., 1].std() + 0.5
    again = tested.batch(0, rng(3))
    assert all(torch.equal(value, again[name]) for name, value in tested.batch(0, rng(3)).items())


def test_the_network_of_detail_learns_and_nothing_else() -> None:
    tested = recipe(adversarial=AdversarialLoss(start=0))
    losses = tested.loss(tested.batch(0, rng()), 5)
    losses["loss"].backward()
    assert {"l1", "perceptual", "judge", "judge_own", "matching"} <= losses.keys()
    moved = {name.split(".")[0] for name, p in tested.net.named_parameters() if p.grad is not None}
    assert moved == {"detail"}
    assert all(p.grad is not None for p in tested.judge.parameters())


def test_training_brings_detail_and_keeps_the_rest(tmp_path: Path) -> None:
    tested = recipe(side=16, squares=1, adversarial=AdversarialLoss(judge=0.01, matching=0.1, start=120))
    batch, before = tested.batch(0, rng(9)), {k: v.clone() for k, v in tested.net.state_dict().items()}
    first = tested.loss(batch, 0)
    options = {"save_every": 0, "sample_every": 160, "device": "cpu", "quiet": True}
    result = train(tested, tmp_path / "run", 160, TrainConfig(lr=1e-2, ema_decay=0.9), **options)
    last = tested.loss(batch, 0)
    assert last["perceptual"] < 0.85 * first["perceptual"]
    assert list((tmp_path / "run" / "samples").glob("*.png"))
    net = build(read_checkpoint(result.checkpoint, "see_the_speaker"), CODEBOOK)
    assert net.config == SMALL
    for name, value in net.state_dict().items():
        assert name.startswith("detail.") or torch.equal(value, before[name]), name


def test_detail_that_fits_goes_on_and_other_begins_anew() -> None:
    old = small_decoder()
    assert with_detail(old, SMALL.detail) is old
    new = with_detail(old, replace(SMALL.detail, wide=12))
    assert new.config.detail.wide == 12
    assert not new.detail.out.weight.any()
    torch.testing.assert_close(new.decoder.last.weight, old.decoder.last.weight)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no network of detail"):
        recipe(codebook=small_decoder(replace(SMALL, detail=None)))
    with pytest.raises(InputError, match="squares of 17 px out of pictures of 16 px"):
        recipe(side=17)


def test_the_command_line_begins_with_a_codebook(tmp_path: Path) -> None:
    codebook = save_small_codebook(tmp_path / "codebook.safetensors")
    words = ["train", "see-the-speaker-codebook-detail", "--data", FIXTURES, "--out", tmp_path / "run"]
    words += ["--codebook", codebook, "--cache", tmp_path, "--steps", 1, "--batch-size", 1, "--every", 50]
    assert main([str(word) for word in (*words, "--sample-every", 0, "--device", "cpu", "--quiet")]) == 0
    net = build(read_checkpoint(tmp_path / "run" / "see-the-speaker-codebook-detail.safetensors"), CODEBOOK)
    assert net.config.detail.wide == 96
