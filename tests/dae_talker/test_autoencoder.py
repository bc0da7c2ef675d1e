"""The diffusion autoencoder's presets: sizes, shapes, settings that survive a file, and the model it samples with."""

import json

import pytest
import torch
from torch import nn

from talkface_core.dae_talker.autoencoder import (
    AutoencoderConfig,
    DiffusionAutoencoder,
)
from talkface_core.diffusion.parameterisation import KINDS
from talkface_core.diffusion.sampling import SAMPLERS, noise
from talkface_core.diffusion.schedules import SPACINGS, timesteps
from talkface_core.errors import InputError


def on_meta(preset: str) -> DiffusionAutoencoder:
    """The preset's layers without their weights."""
    with torch.device("meta"):
        return DiffusionAutoencoder(AutoencoderConfig.preset(preset)).eval()


@pytest.fixture(scope="module")
def tiny() -> DiffusionAutoencoder:
    """Fresh weights, but for the last layer of all and of every branch, which start at zero and would hide the rest."""
    torch.manual_seed(0)
    net = DiffusionAutoencoder(AutoencoderConfig.preset("tiny")).eval()
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return net


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_base_has_the_published_size() -> None:
    net = on_meta("base")
    assert size(net.encoder) == pytest.approx(30.2e6, rel=0.01)
    assert size(net.unet) == pytest.approx(138.3e6, rel=0.01)


def test_tiny_is_small() -> None:
    assert size(on_meta("tiny")) < 6.6e6


@pytest.mark.parametrize("preset", AutoencoderConfig.presets())
def test_shapes(preset: str) -> None:
    net = on_meta(preset)
    config = net.config
    frames = torch.empty(2, 3, config.image_size, config.image_size, device="meta")
    z = net.encode(frames)
    assert z.shape == (2, config.latent_dim)
    assert net(frames, torch.empty(2, dtype=torch.long, device="meta"), z).shape == frames.shape


def test_the_presets_are_what_they_say() -> None:
    base, tiny = AutoencoderConfig.preset("base"), AutoencoderConfig.preset("tiny")
    assert (base.image_size, base.latent_dim, base.prediction) == (256, 512, "eps")
    assert base.schedule.to_dict() == {"name": "linear", "steps": 1000, "zero_terminal_snr": False}
    assert tiny.image_size == 128
    for config in (base, tiny):
        assert config.prediction in KINDS
        assert not (config.prediction == "eps" and config.schedule.zero_terminal_snr), "eps says nothing at zero SNR"
        assert config.unet.cond_dim == config.latent_dim
        assert config.sampling.sampler in SAMPLERS
        assert config.sampling.spacing in SPACINGS
    assert tiny.sampling.steps <= 10


@pytest.mark.parametrize("preset", AutoencoderConfig.presets())
def test_a_config_survives_json(preset: str) -> None:
    config = AutoencoderConfig.preset(preset)
    read = AutoencoderConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert read == config
    assert read is not config


def test_a_wrong_preset_is_refused() -> None:
    with pytest.raises(InputError, match=r"preset 'huge'.*tiny, base"):
        AutoencoderConfig.preset("huge")


def test_settings_of_something_else_are_refused() -> None:
    good = AutoencoderConfig.preset("tiny").to_dict()
    wrong = {
        "encoder is missing": {"unet": good["unet"]},
        "unet.wings is unknown": {**good, "unet": {**good["unet"], "wings": 2}},
        "encoder.in_channels is missing": {**good, "encoder": {"image_size": 128}},
        "sampling is None": {**good, "sampling": None},
        "schedule.colour is unknown": {**good, "schedule": {**good["schedule"], "colour": 1}},
    }
    for message, config in wrong.items():
        with pytest.raises(InputError, match=message):
            AutoencoderConfig.from_dict(config)


@torch.no_grad()
def test_sampling_depends_on_z_and_x_T_and_stays_in_range(tiny: DiffusionAutoencoder) -> None:
    config = tiny.config
    ts = timesteps(config.schedule, 3, config.sampling.spacing)
    x_T = noise((1, 3, config.image_size, config.image_size), seed=0)
    frames = torch.rand(2, *x_T.shape[1:], generator=torch.Generator().manual_seed(1)) * 2 - 1
    z = tiny.encode(frames)

    def sample(x_T: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return SAMPLERS[config.sampling.sampler](tiny.denoiser(z), x_T, config.schedule, ts)

    first = sample(x_T, z[:1])
    assert first.shape == x_T.shape
    assert first.abs().max() <= 1
    assert torch.equal(sample(x_T, z[:1]), first)
    assert (sample(x_T, z[:1] + 1) - first).abs().mean() > 1e-3
    assert (sample(noise(x_T.shape, seed=1), z[:1]) - first).abs().mean() > 1e-3


@torch.no_grad()
def test_the_denoiser_feeds_the_network_its_own_dtype(tiny: DiffusionAutoencoder) -> None:
    half = DiffusionAutoencoder(tiny.config).eval()
    half.load_state_dict(tiny.state_dict())
    half.bfloat16()
    x, z = noise((1, 3, 128, 128), seed=0), noise((1, tiny.config.latent_dim), seed=1)
    x0, eps = half.denoiser(z)(x, 500)
    wanted, _ = tiny.denoiser(z)(x, 500)
    assert x0.dtype == eps.dtype == torch.float32
    assert (x0 - wanted).norm() < 0.1 * wanted.norm()
