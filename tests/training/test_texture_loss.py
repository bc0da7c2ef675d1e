"""The perceptual loss: what it is zero for, and what it asks for."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from talkface_core.training.texture_loss import TextureLoss, laplacian_pyramid, structural_similarity
from tests.ladtalk.small_sovqae import frames


@pytest.fixture(scope="module")
def real() -> Tensor:
    return frames(4)


def blurred(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")


def test_a_pyramid_holds_the_picture(real: Tensor) -> None:
    bands = laplacian_pyramid(real, 3)
    low = F.avg_pool2d(real, 8)
    for band in reversed(bands):
        low = band + F.interpolate(low, size=band.shape[-2:], mode="bilinear", align_corners=False)
    assert torch.allclose(low, real, atol=1e-5)


def test_structural_similarity_agrees_with_the_metric(real: Tensor) -> None:
    assert structural_similarity(real, real).item() == pytest.approx(1, abs=1e-4)
    for other in (blurred(real), real + 0.2 * torch.randn_like(real), 0.5 * real):
        ours = structural_similarity(other, real).item()
        theirs = structural_similarity_index_measure(
            other, real, gaussian_kernel=False, kernel_size=7, data_range=2.0
        ).item()
        assert ours == pytest.approx(theirs, abs=0.05)


def test_texture_loss_is_zero_for_equals_and_grows_with_blur_and_noise(real: Tensor) -> None:
    loss = TextureLoss()
    assert loss(real, real).item() == pytest.approx(0, abs=1e-4)
    assert loss(blurred(real), real) > 0.5 * loss(blurred(blurred(real)), real) > 0.05
    assert loss(real + 0.1 * torch.randn_like(real), real) > loss(real + 0.02 * torch.randn_like(real), real) > 0


def test_energy_asks_for_texture_wherever_its_phase(real: Tensor) -> None:
    """Noise where there should be other noise: the L1 of the bands prefers nothing at all, the energy prefers noise."""
    generator = torch.Generator().manual_seed(0)
    wanted, other = (0.3 * torch.randn(2, 3, 32, 32, generator=generator) for _ in range(2))
    nothing = torch.zeros_like(wanted)
    plain = TextureLoss(energy=0.0, finest=0.0, structure=0.0)
    assert plain(nothing, wanted) < plain(other, wanted)
    textured = TextureLoss(energy=3.0, finest=0.0, structure=0.0)
    assert textured(other, wanted) < textured(nothing, wanted)


def test_texture_around_nyquist_is_asked_for() -> None:
    wave = torch.cos(0.8 * torch.pi * torch.arange(200.0)).expand(1, 3, 20, 200)
    assert TextureLoss(energy=0.0, structure=0.0)(0 * wave, wave) > TextureLoss(0, 0.0, 0.0, 0.0)(0 * wave, wave)
