"""The codebook's recipes: batches that repeat, who learns in which stage, and runs that begin one another."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.checkpoints import CheckpointError, read_checkpoint, save_checkpoint
from talkface_core.cli.main import main
from talkface_core.components import build
from talkface_core.datasets.clips import ClipSet
from talkface_core.errors import InputError
from talkface_core.quantisation.vq_autoencoder import VQAutoencoder
from talkface_core.see_the_speaker.codebook import CODEBOOK
from talkface_core.see_the_speaker.training.codebook_batches import (
    CodebookBatches,
    CodebookSampler,
    Portraits,
    Softness,
    film_portraits,
    still_portraits,
)
from talkface_core.see_the_speaker.training.codebook_rendered import RenderedPairs, rendered_pairs
from talkface_core.see_the_speaker.training.recipe_codebook import CodebookLoss, CodebookRecipe, read_autoencoder
from talkface_core.see_the_speaker.training.recipe_codebook_vq import AutoencoderLoss, AutoencoderRecipe
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from talkface_core.training.setup import load_init
from tests.see_the_speaker.small_codebook import SMALL, small_decoder
from tests.see_the_speaker.small_renderer import small_tiny, trained_looking

FIXTURES = Path(__file__).parents[1] / "fixtures"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def portraits(count: int = 6, size: int = 32) -> Portraits:
    """Smooth pictures with fine stripes here and there; landmarks somewhere in the middle."""
    chance, frames = rng(5), []
    y, x = np.mgrid[:size, :size]
    stripes = np.where((x + y) // 2 % 2, 20, -20)
    for _ in range(count):
        coarse = chance.uniform(60, 200, (4, 4, 3)).astype(np.float32)
        where = chance.integers(0, 2, (4, 4)).repeat(size // 4, 0).repeat(size // 4, 1)
        frames.append(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC) + (stripes * where)[..., None])
    landmarks = chance.uniform(0.3 * size, 0.7 * size, (count, 68, 2)).astype(np.float32)
    return Portraits(np.stack(frames).clip(0, 255).astype(np.uint8), landmarks)


def autoencoder_recipe(**settings: object) -> AutoencoderRecipe:
    torch.manual_seed(0)
    batches = CodebookBatches(size=6, patch=16)
    return AutoencoderRecipe(portraits(), "toys/train", SMALL.autoencoder, batches=batches, **settings)


def codebook_recipe(fuse: bool = False, **settings: object) -> CodebookRecipe:
    torch.manual_seed(0)
    net = VQAutoencoder(SMALL.autoencoder)
    net(torch.randn(4, 3, 32, 32))  # sets the codebook up
    batches = CodebookBatches(size=3)
    return CodebookRecipe(portraits(), "toys/train", SMALL, net, fuse, batches=batches, **settings)


def test_batches_repeat_and_soft_faces_are_soft() -> None:
    sampler = CodebookSampler(portraits(), portraits(2), 16, CodebookBatches(size=4))
    batch, again = sampler.batch(rng()), sampler.batch(rng())
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert batch["real"].shape == (4, 32, 32, 3)
    assert batch["soft"].shape == (4, 16, 16, 3)
    small = np.stack([cv2.resize(one, (16, 16), interpolation=cv2.INTER_AREA) for one in batch["real"].numpy()])
    assert np.abs(small - batch["soft"].numpy().astype(int)).mean() < 12
    patches = CodebookSampler(portraits(), None, 16, CodebookBatches(size=4, patch=16)).patches(rng())
    assert patches["real"].shape == (4, 16, 16, 3)


def test_softness_takes_more_where_features_lie() -> None:
    sharp = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    landmarks = np.full((68, 2), 16.0, np.float32) + rng().uniform(-3, 3, (68, 2)).astype(np.float32)
    plain = cv2.resize(sharp, (32, 32), interpolation=cv2.INTER_AREA)
    none = Softness(blur=-0.5, featured=0.0, resampled=0.0, noise=0.0)
    assert np.array_equal(none.soften(sharp, landmarks, 32, rng()), plain)
    soft = replace(none, featured=1.0, features=3.0).soften(sharp, landmarks, 32, rng(1))
    change = np.abs(soft.astype(int) - plain).mean(-1)
    assert change[6:10, 6:10].mean() > 10 * change[20:, 20:].mean() + 1
    blurred = [replace(none, blur=2.0).soften(sharp, landmarks, 32, rng(seed)).std() for seed in range(8)]
    assert min(blurred) < 0.5 * plain.std()


def test_in_the_first_stage_every_weight_takes_part() -> None:
    recipe = autoencoder_recipe()
    losses = recipe.loss(recipe.batch(0, rng()), 300)
    losses["loss"].backward()
    assert all(parameter.grad is not None for parameter in recipe.net.parameters())
    assert losses["perplexity"] > 1


@pytest.mark.parametrize(
    ("fuse", "how", "learning"),
    [
        (False, {}, {"encoder", "predictor"}),
        (True, {"keep_decoder": True}, {"encoder", "predictor", "fusions", "fine"}),
        (True, {}, {"encoder", "predictor", "fusions", "decoder", "fine"}),
        (True, {"fine_only": True}, {"fine"}),
    ],
)
def test_who_learns_in_which_stage(fuse: bool, how: dict[str, bool], learning: set[str]) -> None:
    recipe = codebook_recipe(fuse, **how)
    for parameter in recipe.net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    losses = recipe.loss(recipe.batch(0, rng()), 0)
    losses["loss"].backward()
    moved = {name.split(".")[0] for name, p in recipe.net.named_parameters() if p.grad is not None and p.grad.any()}
    wanting = {name.split(".")[0] for name, p in recipe.net.named_parameters() if p.requires_grad}
    assert moved == wanting == learning
    assert ("perceptual" in losses) == fuse
    assert all(p.grad is not None for p in recipe.net.parameters() if p.requires_grad)
    assert not any(p.grad is not None for p in recipe.autoencoder.parameters())


def test_an_autoencoder_of_other_settings_is_refused() -> None:
    other = VQAutoencoder(replace(SMALL.autoencoder, channels=(8, 8)))
    with pytest.raises(InputError, match="other settings"):
        CodebookRecipe(portraits(), "toys", SMALL, other)


def test_three_stages_one_after_the_other(tmp_path: Path) -> None:
    """Each begins with what the one before made, and lowers its own loss on a batch that it may have seen."""
    quick = TrainConfig(lr=5e-3, ema_decay=0.9)
    options = {"save_every": 0, "sample_every": 0, "device": "cpu", "quiet": True}
    first = autoencoder_recipe(loss=AutoencoderLoss(quantise_from=10, perceptual=0.02))
    one = train(first, tmp_path / "1", 40, quick, **options)
    autoencoder = read_autoencoder(one.checkpoint)
    batches = CodebookBatches(size=4, softness=Softness(blur=0.2, featured=0.0, resampled=0.0))
    settings = {"films": portraits(), "data": "toys/train", "config": SMALL, "autoencoder": autoencoder}
    second = CodebookRecipe(**settings, batches=batches)
    batch = second.batch(0, rng(9))
    before = second.loss(batch, 0)
    assert torch.equal(second.net.decoder.last.weight, autoencoder.decoder.last.weight)
    two = train(second, tmp_path / "2", 60, quick, **options)
    after = second.loss(batch, 0)
    assert after["codes"] < 0.95 * before["codes"]
    assert after["guess"] < 0.95 * before["guess"]
    third = CodebookRecipe(**settings, batches=batches, fuse=True, loss=CodebookLoss(perceptual=0.1))
    load_init(third, two.checkpoint)
    untaught = third.loss(batch, 0)["loss"]
    careful = replace(quick, lr=5e-4)
    three = train(third, tmp_path / "3", 30, careful, init=two.checkpoint, **{**options, "sample_every": 30})
    assert third.loss(batch, 0)["loss"] < untaught
    assert list((tmp_path / "3" / "samples").glob("*.png"))
    net = build(read_checkpoint(three.checkpoint, "see_the_speaker"), CODEBOOK)
    assert net.enhance(torch.rand(1, 3, 16, 16)).shape == (1, 3, 32, 32)
    assert torch.equal(net.quantiser.embedding, autoencoder.quantiser.embedding)


def test_films_and_stills_are_read(tmp_path: Path) -> None:
    clips = ClipSet.open(FIXTURES)
    films = film_portraits(clips, 64, 10, tmp_path, quiet=True)
    assert films.frames.shape == (sum(len(range(0, clip.frames, 10)) for clip in clips.clips), 64, 64, 3)
    assert 0 < films.landmarks.min() < films.landmarks.max() < 64
    stills = tmp_path / "stills"
    stills.mkdir()
    cv2.imwrite(str(stills / "a.png"), np.zeros((128, 128, 3), np.uint8))
    np.savez(stills / "a.npz", landmarks=np.arange(136, dtype=np.float32).reshape(1, 68, 2))
    assert still_portraits([], 64) is None
    portrait = still_portraits([stills, stills], 32)
    assert portrait.frames.shape == (2, 32, 32, 3)
    assert np.array_equal(portrait.landmarks[1].ravel(), np.arange(136) / 4)
    cv2.imwrite(str(stills / "a.png"), np.zeros((128, 100, 3), np.uint8))
    with pytest.raises(InputError, match="100x128; give squares"):
        still_portraits([stills], 32)


def test_the_renderers_pictures_lie_over_the_true_ones(tmp_path: Path) -> None:
    """Pairs move, turn and change colour together; both are of the same frame."""
    shown = portraits(4).frames
    small = np.stack([cv2.resize(one, (16, 16), interpolation=cv2.INTER_AREA) for one in shown])
    settings = CodebookBatches(size=8, rendered=1.0)
    batch = CodebookSampler(portraits(), None, 16, settings, RenderedPairs(shown, small)).batch(rng())
    real = np.stack([cv2.resize(one, (16, 16), interpolation=cv2.INTER_AREA) for one in batch["real"].numpy()])
    assert np.abs(real - batch["soft"].numpy().astype(int)).max() <= 3
    clips, path = ClipSet.open(FIXTURES), tmp_path / "renderer.safetensors"
    net = trained_looking(small_tiny())
    save_checkpoint(path, "see_the_speaker", {"renderer": net}, {"renderer": net.config.to_dict()}, {})
    pairs = rendered_pairs(clips, path, 128, 64, 25, tmp_path, quiet=True)
    assert pairs.real.shape == (sum(len(range(0, clip.frames, 25)) for clip in clips.clips), 128, 128, 3)
    assert pairs.soft.shape == (len(pairs.real), 64, 64, 3)
    assert pairs.soft.std() > 1
    with pytest.raises(InputError, match="64 px and"):
        rendered_pairs(clips, path, 256, 128, 25, tmp_path, quiet=True)


def test_the_command_line_takes_a_sovqae_or_says_what_is_there(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    def run(out: str, autoencoder: str | Path, *more: object) -> int:
        words = ["train", "see-the-speaker-codebook", "--data", FIXTURES, "--out", tmp_path / out, "--cache", tmp_path]
        words += ["--steps", 1, "--batch-size", 1, "--sample-every", 0, "--device", "cpu", "--quiet", "--every", 50]
        return main([str(word) for word in (*words, "--autoencoder", autoencoder, *more)])

    assert run("codes", "ladtalk_tiny") == 0
    assert (
        run("fused", "ladtalk_tiny", "--fuse", "--init", tmp_path / "codes/see-the-speaker-codebook.safetensors") == 0
    )
    provenance = read_checkpoint(tmp_path / "fused" / "see-the-speaker-codebook.safetensors").provenance
    assert provenance["config"]["recipe"]["fuse"] is True
    save_checkpoint(tmp_path / "no.safetensors", "see_the_speaker", {"x": small_decoder()}, {"x": {}}, {})
    with pytest.raises(CheckpointError, match="expected one of autoencoder, sovqae"):
        read_autoencoder(tmp_path / "no.safetensors")
