"""Losses of painted faces: what weights and details reward."""

import pytest
import torch

from talkface_core.faces.picture_loss import reconstruction, region_weights


@pytest.fixture
def face():
    points = torch.full((2, 68, 2), 48.0)
    points[:, 48:, 0] = torch.linspace(30, 60, 20)
    points[:, 48:, 1] = 70
    return points


def test_region_weights(face):
    weights = region_weights(face, 96, 4.0, upper=0.0)
    assert weights.shape == (2, 1, 96, 96)
    torch.testing.assert_close(weights.mean((1, 2, 3)), torch.ones(2))
    assert not weights[:, :, :48].any()
    assert weights[0, 0, 70, 45] == weights[0].max()
    assert weights[0, 0, 70, 45] > 4.5 * weights[0, 0, 90, 2]
    plain = region_weights(face, 96, 0.0, upper=1.0)
    torch.testing.assert_close(plain, torch.ones_like(plain))


def test_reconstruction_is_l1(face):
    generated, real = torch.rand(2, 3, 96, 96), torch.rand(2, 3, 96, 96)
    torch.testing.assert_close(reconstruction(generated, real), (generated - real).abs().mean())
    weights = region_weights(face, 96, 4.0, upper=0.0)
    torch.testing.assert_close(reconstruction(generated, real, weights), ((generated - real).abs() * weights).mean())
    assert reconstruction(real, real, weights, 0.5) == 0


def test_details_make_the_mean_of_two_mouths_dear():
    """A grey smear and a shift of all colours cost the same in L1; details tell them apart."""
    torch.manual_seed(0)
    real = (torch.rand(1, 3, 96, 96) > 0.5).float() * 0.2
    smear, tint = torch.full_like(real, 0.1), real + 0.1
    torch.testing.assert_close(reconstruction(smear, real), reconstruction(tint, real), atol=1e-4, rtol=0)
    assert reconstruction(smear, real, detail=0.5) > 1.5 * reconstruction(tint, real, detail=0.5)
