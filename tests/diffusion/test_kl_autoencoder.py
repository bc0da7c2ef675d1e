"""The autoencoder of latent diffusion: sizes, folded pixels, the two ways to call it."""

from dataclasses import replace

import pytest
import torch

from talkface_core.diffusion.kl_autoencoder import KLAutoencoder, KLConfig
from talkface_core.errors import InputError

FOLDED = KLConfig(channels=8, multipliers=(1, 2), blocks=1, latent_channels=6, patch=4)


def small(config: KLConfig = FOLDED) -> KLAutoencoder:
    torch.manual_seed(0)
    return KLAutoencoder(config).eval()


def test_folded_pixels_make_the_latent_smaller_and_come_back() -> None:
    net, pictures = small(), torch.rand(2, 3, 32, 64) * 2 - 1
    assert FOLDED.factor == 8
    mean, logvar = net.distribution(pictures)
    assert mean.shape == logvar.shape == (2, 6, 4, 8)
    assert net.paint(mean).shape == pictures.shape


def test_pixels_are_the_pictures_in_the_unit_range() -> None:
    net, pixels = small(), torch.rand(1, 16, 16, 3)
    latents = net.encode(pixels)
    torch.testing.assert_close(latents, net.distribution(pixels.permute(0, 3, 1, 2) * 2 - 1)[0])
    torch.testing.assert_close(net.decode(latents), net.paint(latents).permute(0, 2, 3, 1) / 2 + 0.5)


def test_no_level_is_refused() -> None:
    with pytest.raises(InputError, match="without a level"):
        KLConfig(multipliers=())
    with pytest.raises(InputError, match="patch"):
        KLConfig(patch=0)


def test_what_only_draws_needs_no_encoder() -> None:
    whole, drawing = small(), small(replace(FOLDED, encodes=False))
    drawing.load_state_dict({k: v for k, v in whole.state_dict().items() if k in drawing.state_dict()})
    latents = torch.randn(1, 6, 4, 4)
    assert torch.equal(drawing.paint(latents), whole.paint(latents))
    with pytest.raises(InputError, match="decodes only"):
        drawing.distribution(torch.zeros(1, 3, 32, 32))
