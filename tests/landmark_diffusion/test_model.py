"""Checkpoints of landmark diffusion: whole ones load as they were saved, others say in one line what is missing."""

from dataclasses import replace

import pytest
import torch

from talkface_core.checkpoints import CheckpointError, read_checkpoint
from talkface_core.components import problem
from talkface_core.landmark_diffusion.model import COMPONENTS, SYSTEM, load_landmark_diffusion
from tests.acoustic.small_acoustic import small_acoustic
from tests.ladtalk.small_ladtalk import save_small_ladtalk
from tests.landmark_diffusion.small_landmark_diffusion import DENOISER, save_small_landmark_diffusion, small_denoiser


def test_a_whole_one_comes_back(tmp_path):
    path = save_small_landmark_diffusion(tmp_path / "small.safetensors")
    model = load_landmark_diffusion(path, "cpu", torch.float32)
    assert (model.path, model.device.type, model.dtype) == (path, "cpu", torch.float32)
    assert model.provenance["licence"] == "Apache-2.0"
    assert model.completion.gate is not None
    saved = small_denoiser().state_dict()
    assert all(torch.equal(saved[key], value) for key, value in model.painter.talkformer.state_dict().items())
    assert not any(weight.requires_grad for weight in model.painter.parameters())
    checkpoint = read_checkpoint(path)
    assert checkpoint.system == SYSTEM
    assert problem(checkpoint, COMPONENTS) is None


def test_halves(tmp_path):
    """The painter alone is cast; where landmarks lie stays exact."""
    model = load_landmark_diffusion(
        save_small_landmark_diffusion(tmp_path / "small.safetensors"), "cpu", torch.bfloat16
    )
    assert model.dtype == torch.bfloat16
    assert next(model.completion.parameters()).dtype == torch.float32


def test_without_a_gate(tmp_path):
    path = save_small_landmark_diffusion(tmp_path / "small.safetensors", "gate")
    assert load_landmark_diffusion(path, "cpu").completion.gate is None


@pytest.mark.parametrize("part", ["autoencoder", "talkformer", "completion"])
def test_a_stage_that_is_missing(tmp_path, part):
    path = save_small_landmark_diffusion(tmp_path / "part.safetensors", part)
    with pytest.raises(CheckpointError, match=f"expected {part} too"):
        load_landmark_diffusion(path, "cpu")


def test_an_acoustic_model_that_is_missing_or_anothers(tmp_path):
    path = save_small_landmark_diffusion(tmp_path / "deaf.safetensors", "acoustic")
    with pytest.raises(CheckpointError, match=r"deaf.safetensors: its landmark completion hears .* found none"):
        load_landmark_diffusion(path, "cpu")
    path = save_small_landmark_diffusion(tmp_path / "other.safetensors", acoustic=small_acoustic(width=8))
    with pytest.raises(CheckpointError, match=r"other.safetensors: .*hears 16 values"):
        load_landmark_diffusion(path, "cpu")


def test_a_denoiser_of_another_latent_space(tmp_path):
    other = small_denoiser(replace(DENOISER, latent_size=16))
    path = save_small_landmark_diffusion(tmp_path / "other.safetensors", talkformer=other)
    with pytest.raises(CheckpointError, match=r"other.safetensors: .*take both from one training run"):
        load_landmark_diffusion(path, "cpu")


def test_another_system(tmp_path):
    with pytest.raises(CheckpointError, match="expected the system 'landmark_diffusion'"):
        load_landmark_diffusion(save_small_ladtalk(tmp_path / "small.safetensors"), "cpu")
