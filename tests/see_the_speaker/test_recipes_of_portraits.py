"""The three recipes of portraits: people and voices, batches, losses, and that they learn."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.see_the_speaker.portrait_space import EYES
from talkface_core.see_the_speaker.training.people import UNKNOWN, People, latents_of, open_people, read_people
from talkface_core.see_the_speaker.training.recipe_conre import ConReRecipe, group_shares
from talkface_core.see_the_speaker.training.recipe_portrait import PortraitRecipe
from talkface_core.see_the_speaker.training.recipe_portrait_space import PortraitSpaceRecipe, face_weights
from talkface_core.see_the_speaker.training.voices import Voice, partners, read_voices
from talkface_core.training.recipe import Recipe
from tests.see_the_speaker.small_portrait import (
    FACE_SIZES,
    PORTRAIT_SIZES,
    SPACE,
    SPEECH_SIZES,
    save_small_portrait,
    small_model,
    write_people,
    write_voices,
)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return read_people(write_people(tmp_path_factory.mktemp("p") / "people", 12), 32)


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[Voice]:
    return read_voices(write_voices(tmp_path_factory.mktemp("v") / "voices"))


def learned(recipe: Recipe, name: str, steps: int, rate: float) -> tuple[float, float]:
    """A loss at first and after some steps on the same kind of batches."""
    rng = np.random.default_rng(0)
    weights = [weight for net in recipe.modules.values() for weight in net.parameters() if weight.requires_grad]
    optimiser, values = torch.optim.Adam(weights, rate), []
    for step in range(steps):
        losses = recipe.loss(recipe.batch(step, rng), step)
        optimiser.zero_grad()
        losses["loss"].backward()
        assert all(weight.grad is not None for weight in weights)
        optimiser.step()
        values.append(float(losses[name].detach()))
    return float(np.mean(values[:3])), float(np.mean(values[-8:]))


def test_people_are_read_with_who_they_are(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "train", 6)
    write_people(tmp_path / "val", 2)
    own, val = open_people(tmp_path, 32)
    assert own.pictures.shape == (6, 32, 32, 3)
    assert own.sex.tolist() == [0, 1, 0, 1, 0, 1]
    assert own.age.tolist() == [0, 0, 1, 1, 2, 2]
    assert val is not None
    assert len(val) == len(open_people(folder, 32)[1] or ()) == 2
    (tmp_path / "val" / "p0.npz").write_bytes((folder / "p1.npz").read_bytes()[:50])
    with pytest.raises(InputError, match=r"p0\.npz"):
        read_people(tmp_path / "val", 32)
    with pytest.raises(InputError, match="rendered people"):
        read_people(tmp_path, 32)


def test_voices_are_cut_gated_and_known_as_far_as_they_are(tmp_path: Path) -> None:
    folder = write_voices(tmp_path / "voices", 3)
    known, sex_alone = read_voices(folder), read_voices(folder, age_known=False)
    assert [(voice.sex, voice.age) for voice in known] == [(0, 0), (1, 0), (0, 1)]
    assert [voice.age for voice in sex_alone] == [UNKNOWN] * 3
    gain = known[0].gain
    assert gain is not None
    assert gain[:40].max() == 0
    assert gain[-40:].min() == 1
    rng = np.random.default_rng(0)
    cuts = torch.stack([known[0].cut(400, rng) for _ in range(20)])
    assert cuts.shape == (20, 400, 80)
    silent = (cuts == -4).all(2).any(1).float().mean()
    assert 0 < silent < 1
    with pytest.raises(InputError, match="voices with attributes"):
        read_voices(tmp_path)


def test_partners() -> None:
    sexes, ages = np.array([0, 0, 1, 0]), np.array([1, 2, 1, UNKNOWN])
    assert partners(0, 1, sexes, ages).tolist() == [True, False, False, True]
    assert partners(0, UNKNOWN, sexes, ages).tolist() == [True, True, False, True]


def test_groups_are_drawn_alike() -> None:
    share = group_shares([(0, 0), (0, 0), (1, 0), (1, UNKNOWN)])
    np.testing.assert_allclose(share, np.array([0.5, 0.5, 1, 3]) / 5)


def test_the_face_counts_more_than_what_is_around_it() -> None:
    weights = face_weights(64, 2.0)[0, 0]
    assert abs(float(weights.mean()) - 1) < 1e-5
    assert weights[int(64 * EYES) + 8, 32] > 2 * weights[0, 0]


def test_the_space_begins_as_principal_components_and_learns(people: People) -> None:
    torch.manual_seed(0)
    recipe = PortraitSpaceRecipe(people, SPACE, people, 6)
    net, pictures = recipe.net, people.signed(slice(None))
    with torch.no_grad():
        latents, given_back = net.encode(pictures), net.decode(net.encode(pictures))
    assert 0.7 < float(latents.std()) < 1.3
    # Of noise on six colours the colours come back, which are most of what differs.
    error, whole = (given_back - pictures).square().mean(), pictures.var((0, 2, 3)).mean()
    assert error < 0.3 * whole
    colours = (given_back.mean((2, 3)) - pictures.mean((2, 3))).abs().max()
    assert colours < 0.02
    learned(recipe, "picture", 12, 1e-3)
    assert float(net.deviation.min()) > 0.7
    net.eval()
    assert recipe.sample({"portrait_space": net}).shape == (64, 256, 3)


def test_the_decoder_learns_alone_in_latents_that_stay(people: People) -> None:
    torch.manual_seed(0)
    recipe = PortraitSpaceRecipe(people, SPACE, people, 6, part="decoder")
    net, pictures = recipe.net, people.signed(slice(None))
    with torch.no_grad():
        latents, given_back = net.encode(pictures), net.decode(net.encode(pictures))
    learned(recipe, "picture", 8, 1e-3)
    with torch.no_grad():
        assert torch.equal(net.encode(pictures), latents)
        assert not torch.equal(net.decode(latents), given_back)


@pytest.mark.parametrize("part", ["all", "decoder"])
def test_a_space_without_its_encoder_cannot_be_gone_on_with(part: str) -> None:
    args = argparse.Namespace(preset="tiny", part=part, init="see_the_speaker_tiny", data="PEOPLE", batch_size=None)
    with pytest.raises(InputError, match=r"see_the_speaker_tiny.*: holds the decoder of portraits alone"):
        PortraitSpaceRecipe.from_args(args)


def test_a_space_with_its_encoder_can(tmp_path: Path) -> None:
    init, data = save_small_portrait(tmp_path / "small.safetensors"), write_people(tmp_path / "train", 2)
    words = {"preset": "tiny", "part": "decoder", "init": init, "data": data, "batch_size": None}
    assert PortraitSpaceRecipe.from_args(argparse.Namespace(**words)).recipe.config["part"] == "decoder"


def test_conre_learns_who_suits_whom(people: People, voices: list[Voice]) -> None:
    torch.manual_seed(0)
    recipe = ConReRecipe(people, voices, small_model().space, SPEECH_SIZES, FACE_SIZES, 12)
    batch = recipe.batch(0, np.random.default_rng(0))
    assert batch["mels"].shape[0] == len(batch["faces"]) == 12
    # Whoever is drawn is of the voice's sex and age group: the pictures' colours tell.
    colour = batch["faces"].float().mean((1, 2)).argmax(1)
    assert torch.equal(colour, batch["age"])
    first, last = learned(recipe, "contrast", 120, 1e-2)
    assert last < 0.8 * first
    nets = {name: net.eval() for name, net in recipe.modules.items()}
    assert recipe.sample(nets).shape == (96, 256, 3)


def test_a_voice_without_people_is_refused(people: People, voices: list[Voice]) -> None:
    women = People(people.pictures[::2], people.sex[::2], people.age[::2], people.names[::2], "women")
    space = small_model().space
    with pytest.raises(InputError, match=r"nobody of the 6 people .* voice v1"):
        ConReRecipe(women, voices, space, SPEECH_SIZES, FACE_SIZES)
    with pytest.raises(InputError, match="no voice has"):
        PortraitRecipe(people, voices[::2], space, small_model().speech, PORTRAIT_SIZES)


def test_the_denoiser_learns_under_the_mean_of_the_people(people: People, voices: list[Voice]) -> None:
    model = small_model()
    torch.manual_seed(0)
    recipe = PortraitRecipe(people, voices, model.space, model.speech, PORTRAIT_SIZES, 16, variants=2)
    latents = latents_of(people.pictures, model.space)
    assert latents.shape == (12, 2, 4, 4, 4)
    torch.testing.assert_close(recipe.net.prior.latent, latents.mean((0, 1)))
    batch = recipe.batch(0, np.random.default_rng(0))
    assert set(batch["weight"][batch["adaptive"]].shape) <= {*range(17)}
    first, last = learned(recipe, "mse", 60, 5e-3)
    assert last < 0.9 * first
    assert recipe.sample({"portrait": recipe.net.eval()}).shape == (96, 32 * 6, 3)


def test_the_arms_are_drawn_in_their_shares(people: People, voices: list[Voice]) -> None:
    model = small_model()
    recipe = PortraitRecipe(people, voices, model.space, model.speech, PORTRAIT_SIZES, 2000, variants=1)
    batch = recipe.batch(0, np.random.default_rng(0))
    adaptive, none = batch["adaptive"], batch["weight"] == 0
    assert abs(float(adaptive.float().mean()) - 0.5) < 0.05
    assert abs(float((none & ~adaptive).float().mean()) - 0.2) < 0.05
    assert abs(float(batch["dropped"].float().mean()) - 0.1) < 0.03
