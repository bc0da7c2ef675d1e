"""The VQ auto-encoder: published sizes, settings that survive a file, the by-pass, and what the codes decide."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from talkface_core.bands import low_band
from talkface_core.checkpoints import CheckpointError, read_checkpoint, save_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.ladtalk.sovqae import COMPONENT, SOVQAE, TEXTURE, SOVQAEConfig
from tests.ladtalk.small_sovqae import PLAIN, SMALL, frames, sovqae


def on_meta(preset: str) -> SOVQAE:
    with torch.device("meta"):
        return SOVQAE(SOVQAEConfig.preset(preset)).eval()


def size(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_base_has_the_published_sizes() -> None:
    net = on_meta("base")
    assert size(net) == pytest.approx(63.7, rel=0.01)
    assert size(net.encoder) == pytest.approx(29.4, rel=0.01)
    assert size(net.decoder) == pytest.approx(34.1, rel=0.01)
    assert net.quantiser.vectors.shape == (1024, 256)
    assert (net.config.image_size, net.config.factor, net.config.bypass) == (512, 32, 0)


def test_tiny_is_small() -> None:
    net = on_meta("tiny")
    assert size(net) <= 4
    assert net.config.image_size == 256
    assert net.config.factor in (8, 16)


@pytest.mark.parametrize("preset", SOVQAEConfig.presets())
def test_shapes(preset: str) -> None:
    net = on_meta(preset) if preset == "base" else SOVQAE(SOVQAEConfig.preset(preset)).eval()
    side, grid = net.config.image_size, net.config.image_size // net.config.factor
    x = torch.zeros(2, 3, side, side, device=net.quantiser.usage.device)
    codes = net.codes(x)
    assert net.encode(x).shape == (2, grid, grid, net.config.codebook.dim)
    assert codes.shape == (2, grid, grid)
    assert net.decode(codes, net.low(x)).shape == x.shape


@pytest.mark.parametrize("config", [*SOVQAEConfig.presets().values(), SMALL, PLAIN], ids=lambda c: str(c.image_size))
def test_settings_survive_json(config: SOVQAEConfig) -> None:
    assert SOVQAEConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_that_fit_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="size is unknown"):
        SOVQAEConfig.from_dict({"size": 3})
    with pytest.raises(InputError, match="huge"):
        SOVQAEConfig.preset("huge")
    with pytest.raises(InputError, match="scales"):
        SOVQAEConfig(channels=(8, 8))
    with pytest.raises(InputError, match="factor"):
        SOVQAEConfig(image_size=100)


@pytest.mark.parametrize("config", [SMALL, PLAIN], ids=["small", "plain"])
def test_frames_are_made_of_codes_and_the_low_band(config: SOVQAEConfig) -> None:
    net = sovqae(config)
    x = frames(3)
    with torch.no_grad():
        decoded, quantised = net(x)
        again = net.decode(net.codes(x), net.low(x))
    assert torch.equal(quantised.codes, net.codes(x))
    assert quantised.codes.unique().numel() > 4
    assert torch.allclose(decoded, again, atol=1e-5)


def test_without_a_bypass_equal_codes_are_equal_frames() -> None:
    net = sovqae(PLAIN)
    assert net.low(frames(1)) is None
    codes = net.codes(frames(2))
    assert not torch.equal(net.decode(codes)[0], net.decode(codes)[1])
    torch.testing.assert_close(net.decode(codes[:1]), net.decode(codes)[:1])


def test_in_half_precision_the_low_band_is_exact() -> None:
    net = sovqae(SMALL)
    x = frames(2)
    with torch.no_grad():
        exact = net(x).frames
        half = sovqae(SMALL).to(torch.bfloat16)
        decoded = half(x).frames
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(net.low(x), half.low(x))
    assert decoded.dtype == torch.float32
    assert (decoded - exact).abs().mean() < 0.02
    assert half.encode(x).dtype == torch.float32


def test_light_and_colour_change_no_code() -> None:
    net = sovqae(SMALL)
    x = frames(3)
    ramp = torch.linspace(-0.3, 0.3, 32)[:, None] * torch.tensor([1.0, 0.5, -0.2])[:, None, None]
    ramp = low_band(ramp[None], 2 / 32)
    assert torch.allclose(net.encode(x), net.encode(x + ramp + 0.2), atol=1e-4)
    assert not torch.equal(net.codes(x), net.codes(frames(3, seed=1)))


def test_the_codes_get_gradients_at_once() -> None:
    torch.manual_seed(0)
    net = SOVQAE(SMALL)
    net(frames(4)).frames.square().mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.encoder.layers[-1].parameters() if p.ndim > 1)


def test_a_checkpoint_brings_it_back_in_half_precision_too(tmp_path: Path) -> None:
    net, path = sovqae(SMALL), tmp_path / "system.safetensors"
    save_checkpoint(path, "ladtalk", {COMPONENT: net}, {COMPONENT: SMALL.to_dict()}, {}, torch.float16)
    again = build(read_checkpoint(path, "ladtalk"), TEXTURE)
    x = frames(2)
    assert not again.training
    with torch.no_grad():
        assert torch.allclose(again(x).frames, net(x).frames, atol=0.05)
        assert (again.codes(x) == net.codes(x)).float().mean() > 0.9
    save_checkpoint(path, "ladtalk", {"other": net}, {"other": {}}, {})
    with pytest.raises(CheckpointError, match="holds no 'sovqae'"):
        build(read_checkpoint(path), TEXTURE)
