"""Wav2Lip's losses: the published sum, and who gets a gradient."""

import pytest
import torch

from talkface_core.ladtalk.losses import adversarial, combined, discriminator_loss
from talkface_core.ladtalk.quality_discriminator import QualityDiscriminator


def test_the_published_sum():
    l1, sync, gan = torch.tensor(1.0), torch.tensor(10.0), torch.tensor(100.0)
    assert combined(l1, sync, gan, 0.03, 0.07) == pytest.approx(0.9 * 1 + 0.03 * 10 + 0.07 * 100)
    assert combined(l1, sync, gan, 0.0, 0.0) == 1


def test_who_learns_from_which_loss():
    torch.manual_seed(0)
    discriminator = QualityDiscriminator()
    generated, real = torch.rand(2, 3, 96, 96, requires_grad=True), torch.rand(2, 3, 96, 96)
    adversarial(discriminator, generated).backward()
    assert generated.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in discriminator.parameters())
    generated.grad = None
    discriminator_loss(discriminator, generated, real).backward()
    assert generated.grad is None
    assert all(weight.grad.abs().sum() > 0 for weight in discriminator.parameters())


def test_the_judge_s_loss_is_both_cross_entropies():
    torch.manual_seed(0)
    discriminator = QualityDiscriminator()
    generated, real = torch.rand(2, 3, 96, 96), torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        expected = -(discriminator(real).sigmoid().log().mean() + (1 - discriminator(generated).sigmoid()).log().mean())
        torch.testing.assert_close(discriminator_loss(discriminator, generated, real), expected)
        torch.testing.assert_close(
            adversarial(discriminator, generated), -discriminator(generated).sigmoid().log().mean()
        )
