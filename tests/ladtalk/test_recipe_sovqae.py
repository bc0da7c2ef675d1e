"""The recipe: batches that repeat, losses that reach what they should, a run, a checkpoint and a start from one."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.cli.main import main
from talkface_core.errors import InputError
from talkface_core.evaluation.metrics import high_band_share
from talkface_core.ladtalk.decoder_init import init_decoder_lstsq, to_pixels
from talkface_core.ladtalk.degrade import Degradation, degrade
from talkface_core.ladtalk.recipe_sovqae import (
    BATCHES,
    LOSSES,
    SOVQAELoss,
    SOVQAERecipe,
    SOVQAETraining,
)
from talkface_core.ladtalk.sovqae import SOVQAE, SOVQAEConfig
from talkface_core.quantisation.vq_autoencoder import DETAIL
from talkface_core.training.adversarial import AdversarialLoss, PatchDiscriminatorConfig
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from talkface_core.training.setup import load_init
from tests.ladtalk.small_sovqae import PLAIN, SMALL, pictures

FIXTURES = Path(__file__).parents[1] / "fixtures"
DISCRIMINATOR = PatchDiscriminatorConfig(patch=2, channels=(4, 8), norm=False)
CROPS = pictures(12, 48)
TRAINING = SOVQAETraining(batch_size=4, patch=32, scales=(0.8, 1.4), soft=0.5, colour=0.1)
LOSS = replace(LOSSES["tiny"], quantise_from=4, adversarial=AdversarialLoss(start=2))


def recipe(config: SOVQAEConfig = SMALL, loss: SOVQAELoss = LOSS, **settings: object) -> SOVQAERecipe:
    torch.manual_seed(0)
    return SOVQAERecipe(
        settings.pop("crops", CROPS),
        "toys/train",
        config,
        DISCRIMINATOR,
        loss,
        settings.pop("training", TRAINING),
        **settings,
    )


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_batches_repeat_and_soft_inputs_keep_their_targets_sharp() -> None:
    one = recipe(training=replace(TRAINING, soft=1.0))
    batch, again = one.batch(3, rng()), one.batch(3, rng())
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert batch["real"].shape == batch["degraded"].shape == (4, 32, 32, 3)
    assert (high_band_share(batch["degraded"]) < 0.7 * high_band_share(batch["real"])).any()
    sharp = recipe(training=replace(TRAINING, soft=0.0)).batch(3, rng())
    assert torch.equal(sharp["degraded"], sharp["real"])


def test_soft_is_what_a_few_lines_leave() -> None:
    crop = cv2.resize(CROPS[0], (64, 64), interpolation=cv2.INTER_CUBIC)
    soft = degrade(crop, Degradation(lines=0.25))
    fine = crop - cv2.GaussianBlur(crop.astype(float), (0, 0), 2)
    left = soft - cv2.GaussianBlur(soft.astype(float), (0, 0), 2)
    assert left.std() < 0.5 * fine.std()
    half = degrade(crop, Degradation(lines=0.25, below=0.5))
    assert np.array_equal(half[:28], crop[:28])
    assert np.abs(half[40:].astype(int) - soft[40:]).max() <= 1


def test_the_linear_layer_begins_at_its_best() -> None:
    """Weights beside the fitted ones are worse, none at all among them."""
    one = recipe(training=replace(TRAINING, batch_size=16))
    net, fold = one.sovqae, one.sovqae.decoder.fold
    chance = rng(3)
    batches = [one.batch(n, chance) for n in range(12)]

    def error(noise: float) -> float:
        layer = net.decoder.sharpen
        torch.manual_seed(0)
        total = 0.0
        with torch.no_grad():
            for batch in batches:
                real, low = to_pixels(batch["real"]), net.low(to_pixels(batch["degraded"]))
                weight = layer.weight + noise * torch.randn_like(layer.weight)
                sharpened = torch.nn.functional.conv2d(fold(low), weight, layer.bias)
                wanted = fold((real - low) / DETAIL)[..., 1:-1, 1:-1]
                total += (sharpened - wanted).square().mean().item()
        return total

    init_decoder_lstsq(net, [(to_pixels(b["degraded"]), to_pixels(b["real"])) for b in batches], ridge=1e-6)
    best = error(0)
    assert best < error(0.003) < error(0.03)
    with torch.no_grad():
        net.decoder.sharpen.weight.zero_()
        net.decoder.sharpen.bias.zero_()
    assert best < error(0)


@pytest.mark.parametrize("step", [0, 3, 10])
@pytest.mark.parametrize("consistency", [0.0, 0.2])
def test_every_weight_takes_part(step: int, consistency: float) -> None:
    one = recipe(loss=replace(LOSS, consistency=consistency))
    for parameter in one.sovqae.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    losses = one.loss(one.batch(step, rng()), step)
    assert all(torch.isfinite(value) for value in losses.values())
    assert ("judge" in losses) == (step >= LOSS.adversarial.start)
    losses["loss"].backward()
    for name, module in one.modules.items():
        for key, parameter in module.named_parameters():
            assert parameter.grad is not None, f"{name}.{key}"
            # The discriminator's last bias may rest: its pull from both sides cancels while no patch is told for sure.
            if parameter.ndim > 1 and (name == "sovqae" or step >= LOSS.adversarial.start):
                assert parameter.grad.any(), f"{name}.{key}"


def test_a_plain_auto_encoder_with_the_published_losses() -> None:
    training = SOVQAETraining(batch_size=2)
    one = recipe(
        PLAIN,
        SOVQAELoss(adversarial=AdversarialLoss(0.8, True, 0.0), spread=0.0),
        training=training,
        crops=CROPS[:, :32, :32],
    )
    losses = one.loss(one.batch(0, rng()), 0)
    assert "spread" not in losses
    assert "consistency" not in losses
    losses["loss"].backward()
    assert all(p.grad is not None for module in one.modules.values() for p in module.parameters())


def test_an_ema_codebook_has_nothing_to_spread_by_gradients() -> None:
    config = replace(SMALL, codebook=replace(SMALL.codebook, update="ema"))
    losses = recipe(config).loss(recipe(config).batch(0, rng()), 0)
    assert "spread" not in losses
    assert losses["codebook"].item() == 0


def patchwork() -> np.ndarray:
    """Smooth pictures, uint8 [12, 32, 32, 3], with fine stripes here and there: where they are only a code can tell."""
    chance = rng(5)
    y, x = np.mgrid[:32, :32]
    stripes = np.where((x + y) // 2 % 2, 15, -15)
    frames = []
    for _ in range(12):
        smooth = cv2.resize(chance.uniform(60, 200, (4, 4)).astype(np.float32), (32, 32), interpolation=cv2.INTER_CUBIC)
        frames.append(np.stack([smooth + stripes * chance.integers(0, 2, (4, 4)).repeat(8, 0).repeat(8, 1)] * 3, -1))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def test_training_teaches_codes_and_the_checkpoint_begins_another_run(tmp_path) -> None:
    training = SOVQAETraining(batch_size=8, flip=False)
    loss = replace(LOSS, perceptual=0.02, quantise_from=20, adversarial=AdversarialLoss(start=280))
    one = recipe(loss=loss, training=training, crops=patchwork())
    batch = one.batch(0, rng())
    before = one.loss(batch, 30)["l1"].item()
    config = TrainConfig(lr=1e-2, ema_decay=0.9)
    result = train(one, tmp_path, 300, config, sample_every=150, save_every=0, device="cpu", quiet=True)
    assert one.loss(batch, 30)["l1"].item() < 0.6 * before
    assert len(list((tmp_path / "samples").glob("*.png"))) == 2
    checkpoint = read_checkpoint(result.checkpoint, "ladtalk")
    assert checkpoint.provenance["data"] == "toys/train"
    net = SOVQAE(SOVQAEConfig.from_dict(checkpoint.configs["sovqae"])).eval()
    checkpoint.load_into(net, "sovqae")
    second = recipe(fit=False)
    load_init(second, result.checkpoint)
    assert torch.equal(second.sovqae.encoder.layers[-1].weight, net.encoder.layers[-1].weight)


def test_crops_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="smaller"):
        recipe(crops=CROPS[:, :40, :40])
    with pytest.raises(InputError, match="uint8"):
        recipe(crops=CROPS.astype(np.float32))
    with pytest.raises(InputError, match="factor"):
        recipe(training=replace(TRAINING, patch=30))


def test_presets_name_both_sizes() -> None:
    assert LOSSES.keys() == BATCHES.keys() == {"tiny", "base"}
    assert (LOSSES["base"].codebook, LOSSES["base"].adversarial) == (0.25, AdversarialLoss(0.8, True, 0.0, 30_001))


def test_the_command_line_trains_and_goes_on_to_one_person(tmp_path, capfd) -> None:
    def run(out: str, *more: object) -> int:
        words = ["train", "sovqae", "--data", FIXTURES, "--out", tmp_path / out, "--cache", tmp_path, "--steps", 1]
        words += ["--batch-size", 1, "--sample-every", 0, "--device", "cpu", "--quiet", *more]
        return main([str(word) for word in words])

    assert run("many") == 0
    assert run("one", "--init", tmp_path / "many" / "sovqae.safetensors", "--soft", 0) == 0
    recipe = read_checkpoint(tmp_path / "one" / "sovqae.safetensors").provenance["config"]["recipe"]
    assert recipe["init"] == "sovqae"
    assert recipe["training"]["soft"] == 0
    assert recipe["loss"]["adversarial"]["start"] == 0
    with pytest.raises(SystemExit, match="2"):
        run("wrong", "--soft", 1.5)
    assert "--soft: 1.5: give a share between 0 and 1" in capfd.readouterr().err
