"""The losses: what each of them sees, and whom its gradient reaches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from talkface_core.ladtalk.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
from talkface_core.ladtalk.sovqae_losses import (
    TextureLoss,
    adaptive_weight,
    codebook_repulsion,
    discriminator_hinge,
    discriminator_maps,
    feature_matching,
    generator_hinge,
    laplacian_pyramid,
    structural_similarity,
)
from tests.ladtalk.small_sovqae import frames


@pytest.fixture(scope="module")
def real() -> Tensor:
    return frames(4)


def small_discriminator(norm: bool = False) -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(PatchDiscriminatorConfig(patch=2, channels=(4, 8), norm=norm))


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


def test_spread_is_the_mean_over_used_pairs() -> None:
    vectors = torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.0, 2.0], [0.1, 0.0]])
    used = torch.tensor([True, True, True, False])
    assert codebook_repulsion(vectors, used, 0.5).item() == pytest.approx(0.2**2 / 3)
    assert codebook_repulsion(vectors, torch.ones(4, dtype=torch.bool), 0.5).item() == pytest.approx(
        (0.2**2 + 0.4**2 + 0.3**2) / 6, rel=1e-4
    )
    assert codebook_repulsion(vectors, torch.zeros(4, dtype=torch.bool), 0.5).item() == 0


def test_spread_pushes_codes_apart() -> None:
    torch.manual_seed(0)
    vectors = (0.01 * torch.randn(6, 3)).requires_grad_()
    used = torch.ones(6, dtype=torch.bool)
    optimiser = torch.optim.Adam([vectors], 0.02)
    for _ in range(100):
        optimiser.zero_grad()
        codebook_repulsion(vectors, used, 0.5).backward()
        optimiser.step()
    assert torch.pdist(vectors.detach()).min() > 0.45


def test_the_generators_hinge_reaches_the_frames_and_not_the_judge(real: Tensor) -> None:
    discriminator = small_discriminator(norm=True).train()
    generated = real.clone().requires_grad_()
    before = {name: buffer.clone() for name, buffer in discriminator.named_buffers()}
    generator_hinge(discriminator_maps(discriminator, generated)[-1]).backward()
    assert generated.grad.any()
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert all(torch.equal(buffer, before[name]) for name, buffer in discriminator.named_buffers())


def test_the_judges_hinge_is_what_it_says() -> None:
    assert discriminator_hinge(torch.tensor([2.0]), torch.tensor([-2.0])).item() == 0
    assert discriminator_hinge(torch.tensor([0.0]), torch.tensor([0.5])).item() == pytest.approx(1.25)


def test_the_judge_learns_to_tell_blur(real: Tensor) -> None:
    discriminator = small_discriminator()
    optimiser = torch.optim.Adam(discriminator.parameters(), 3e-3)
    for _ in range(150):
        optimiser.zero_grad()
        discriminator_hinge(discriminator(real)[-1], discriminator(blurred(real))[-1]).backward()
        optimiser.step()
    assert discriminator(real)[-1].mean() > discriminator(blurred(real))[-1].mean() + 1


def test_feature_matching(real: Tensor) -> None:
    discriminator = small_discriminator()
    assert feature_matching(discriminator(real), discriminator(real)).item() == 0
    generated = blurred(real).requires_grad_()
    feature_matching(discriminator_maps(discriminator, generated), discriminator(real)).backward()
    assert generated.grad.any()


def test_the_adaptive_weight_balances_gradients(real: Tensor) -> None:
    last = torch.ones(3, requires_grad=True)
    picture, against = (last * torch.tensor([3.0, 0, 4.0])).sum(), (last * torch.tensor([0, 10.0, 0])).sum()
    assert adaptive_weight(picture, against, last).item() == pytest.approx(0.5, rel=1e-3)
    assert adaptive_weight(against, picture, last).item() == 1


def test_the_published_discriminators_size() -> None:
    with torch.device("meta"):
        discriminator = PatchDiscriminator(PatchDiscriminatorConfig.preset("base"))
        assert sum(p.numel() for p in discriminator.parameters()) == pytest.approx(7.0e6, rel=0.01)
        assert discriminator(torch.empty(1, 3, 512, 512))[-1].shape == (1, 1, 30, 30)
