"""The adversarial losses: what each of them sees, and whom its gradient reaches."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from talkface_core.training.adversarial import (
    AdversarialLoss,
    PatchDiscriminator,
    PatchDiscriminatorConfig,
    adaptive_weight,
    discriminator_hinge,
    discriminator_maps,
    feature_matching,
    generator_hinge,
)


@pytest.fixture(scope="module")
def real() -> Tensor:
    torch.manual_seed(1)
    return 2 * torch.rand(4, 3, 32, 32) - 1


def small_discriminator(norm: bool = False) -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(PatchDiscriminatorConfig(patch=2, channels=(4, 8), norm=norm))


def blurred(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")


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


def test_terms_count_from_their_start_on_and_reach_each_net_its_own(real: Tensor) -> None:
    discriminator, weight = small_discriminator(), torch.ones((), requires_grad=True)
    loss = AdversarialLoss(judge=0.5, matching=0.25, start=3)
    total, terms = loss(discriminator, weight * blurred(real), real, step=2)
    assert (total.item(), terms) == (0.0, {})
    total.backward()
    assert all(parameter.grad is not None for parameter in discriminator.parameters()), "the engine asks for them"
    total, terms = loss(discriminator, weight * blurred(real), real, step=3)
    expected = 0.5 * terms["judge"] + terms["judge_own"] + 0.25 * terms["matching"]
    assert total.item() == pytest.approx(expected.item())
    (0.5 * terms["judge"] + 0.25 * terms["matching"]).backward(retain_graph=True)
    pulled = weight.grad.clone()
    weight.grad = None
    total.backward()
    assert weight.grad == pytest.approx(pulled), "the discriminator's own loss does not move the generator"


def test_an_adaptive_weight_balances_against_the_picture(real: Tensor) -> None:
    discriminator, last = small_discriminator(), torch.ones((), requires_grad=True)
    generated = last * blurred(real)
    picture = (generated - real).abs().mean()
    balanced, terms = AdversarialLoss(1.0, True, 0.0)(discriminator, generated, real, 0, picture, last)
    weight = adaptive_weight(picture, terms["judge"], last)
    assert balanced.item() == pytest.approx((weight * terms["judge"] + terms["judge_own"]).item())
