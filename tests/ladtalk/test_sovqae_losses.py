"""The losses: what each of them sees, and whom its gradient reaches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.ladtalk.discriminators import PatchDiscriminator, PatchDiscriminatorConfig
from talkface_core.ladtalk.sovqae_losses import (
    adaptive_weight,
    codebook_repulsion,
    discriminator_hinge,
    discriminator_maps,
    feature_matching,
    generator_hinge,
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
