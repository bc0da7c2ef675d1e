"""The face prior as a residual, and its weight."""

import pytest
import torch

from talkface_core.diffusion.parameterisation import diffuse
from talkface_core.diffusion.schedules import Schedule
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.prior import FacePrior, SampleAdaptiveWeight, SAWConfig, check_arm


def prior() -> FacePrior:
    made = FacePrior((4, 8, 8))
    made.latent.copy_(torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1)))
    return made


def test_the_noisy_residual_is_the_noise_of_the_residual() -> None:
    """z_t - sqrt(abar_t) beta p is what diffusion makes of z_0 - beta p with the same noise, at every time."""
    p, schedule = prior(), Schedule("scaled_linear", 1000, True)
    z0, eps, beta = torch.randn(5, 4, 8, 8), torch.randn(5, 4, 8, 8), torch.rand(5, 4)
    alpha, sigma = schedule.alpha_sigma(torch.tensor([0, 10, 300, 700, 999]))
    noisy = p.residual(diffuse(z0, eps, alpha, sigma), beta, alpha)
    torch.testing.assert_close(noisy, diffuse(p.residual(z0, beta), eps, alpha, sigma))
    assert not torch.allclose(noisy[1], diffuse(z0, eps, alpha, sigma)[1])


def test_the_identity_round_trips() -> None:
    p, z, beta = prior(), torch.randn(3, 4, 8, 8), torch.rand(3, 4)
    for alpha in (1.0, 0.4, torch.tensor([0.0, 0.5, 1.0])):
        torch.testing.assert_close(p.restored(p.residual(z, beta, alpha), beta, alpha), z)


def test_without_weight_nothing_is_taken_and_with_all_of_it_the_mean_face_is_nothing() -> None:
    p, z = prior(), torch.randn(2, 4, 8, 8)
    assert torch.equal(p.residual(z, torch.zeros(2, 4)), z)
    assert p.residual(p.latent[None], torch.ones(1, 4)).abs().max() == 0


def test_saw_begins_near_one_and_answers_to_the_voice_alone() -> None:
    torch.manual_seed(0)
    saw = SampleAdaptiveWeight(4, SAWConfig(12, 6))
    voices = torch.nn.functional.normalize(torch.randn(3, 12), dim=1)
    torch.testing.assert_close(saw(voices), torch.full((3, 4), 0.95))
    with torch.no_grad():
        saw.out.weight.normal_()
    beta = saw(voices)
    assert ((beta > 0) & (beta < 1)).all()
    assert beta.std(0).min() > 0
    assert beta.std(1).min() > 0
    assert SampleAdaptiveWeight(4, SAWConfig(12, 6, per_channel=False))(voices).std(1).max() == 0


def test_saw_learns_from_what_is_made_of_the_residual() -> None:
    """Where the faces are the prior's half, a weight of a half leaves the smallest residual."""
    torch.manual_seed(0)
    p, saw = prior(), SampleAdaptiveWeight(4, SAWConfig(12, 6))
    voices = torch.nn.functional.normalize(torch.randn(8, 12), dim=1)
    optimiser = torch.optim.Adam(saw.parameters(), 0.05)
    for _ in range(60):
        optimiser.zero_grad()
        p.residual(0.5 * p.latent[None].expand(8, -1, -1, -1), saw(voices)).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(saw(voices), torch.full((8, 4), 0.5), atol=0.05, rtol=0)


def test_an_arm_that_is_none() -> None:
    assert check_arm("fixed") == "fixed"
    with pytest.raises(InputError, match="none, fixed, adaptive"):
        check_arm("half")
