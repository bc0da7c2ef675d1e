"""Latents know whose they are, and a decoder of another model refuses them by name."""

from fractions import Fraction

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.dae_talker.latents import Latents, LatentSpace
from talkface_core.dae_talker.model import latent_space
from talkface_core.errors import InputError
from tests.dae_talker.small import LATENT, small_autoencoder


def saved(path, model, dtype=None):
    configs = {"autoencoder": model.config.to_dict()}
    save_checkpoint(path, "dae_talker", {"autoencoder": model}, configs, {}, dtype)
    return latent_space(read_checkpoint(path, "dae_talker"))


def test_a_space_is_its_encoder_whatever_the_file(tmp_path):
    model = small_autoencoder()
    space = saved(tmp_path / "a.safetensors", model)
    assert (space.name, space.dim) == ("a", LATENT)
    assert saved(tmp_path / "half.safetensors", model, torch.float16) == space
    with torch.no_grad():
        model.unet.conv_out.bias += 1
    assert saved(tmp_path / "decoder_trained_on.safetensors", model) == space
    with torch.no_grad():
        next(model.encoder.parameters()).mul_(1.01)
    assert saved(tmp_path / "other_encoder.safetensors", model) != space


def test_a_foreign_decoder_refuses_by_name():
    ours, theirs = LatentSpace("ada", "0123456789ab", 8), LatentSpace("bob", "ba9876543210", 8)
    latents = Latents(torch.zeros(3, 8), Fraction(25), ours)
    assert latents.within(LatentSpace("renamed", "0123456789ab", 8)) is latents.values
    with pytest.raises(InputError, match=r"belong to the model 'ada'.*decoder is of 'bob'"):
        latents.within(theirs)
