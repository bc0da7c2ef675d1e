"""Bands of a picture: what each takes away and leaves."""

import pytest
import torch

from talkface_core.bands import low_band, sharpest
from tests.ladtalk.small_sovqae import SMALL, frames, sovqae


def test_the_low_band_is_an_orthogonal_projection() -> None:
    x = torch.randn(2, 3, 24, 16, dtype=torch.float64)
    low = low_band(x, 0.5)
    assert torch.allclose(low_band(low, 0.5), low)
    assert (low * (x - low)).sum().abs() < 1e-9
    assert torch.allclose(low_band(x, 1.0), x)
    n = torch.arange(16, dtype=torch.float64)
    for wave, kept in ((7, True), (8, False)):
        cosine = torch.cos(torch.pi / 16 * (n + 0.5) * wave).expand(1, 1, 24, 16)
        assert low_band(cosine, 0.5).norm() == pytest.approx(cosine.norm().item() if kept else 0.0, abs=1e-9)


def test_single_precision_is_near_double() -> None:
    x = torch.rand(1, 3, 256, 192, dtype=torch.float64) * 2 - 1
    assert (low_band(x.float(), 0.375) - low_band(x, 0.375)).abs().max() < 1e-5


def test_the_low_band_at_another_size_is_the_same_cosines() -> None:
    n, fine = torch.arange(16, dtype=torch.float64) + 0.5, torch.arange(40, dtype=torch.float64) + 0.5
    small, large = (torch.cos(torch.pi / len(at) * at * 3).expand(1, 1, len(at), len(at)) for at in (n, fine))
    assert torch.allclose(low_band(small, 0.5, 40), large)
    assert torch.allclose(low_band(torch.full_like(small, 0.3), 0.5, 40), torch.full_like(large, 0.3))
    assert torch.allclose(low_band(small, 0.5, 16), low_band(small, 0.5))


def test_a_band_that_fades_does_not_ring() -> None:
    step = (torch.arange(64.0) >= 32).float().expand(1, 1, 64, 64)
    hard, soft = low_band(step, 0.5), low_band(step, 0.5, fade=0.7)
    ringing = [(band - step)[..., :24].abs().max() for band in (hard, soft)]  # eight pixels off the edge and more
    assert ringing[0] > 0.02
    assert ringing[1] < 0.2 * ringing[0]
    flat = torch.full((1, 1, 64, 64), 0.4)
    torch.testing.assert_close(low_band(flat, 0.5, fade=0.7), flat)
    assert torch.equal(low_band(step, 0.5, fade=1e-6), hard)


def test_a_training_goes_on_after_a_host_that_infers() -> None:
    net, x = sovqae(SMALL), frames(2)
    with torch.inference_mode():
        net(x)
        picture = net.low(x)
    x = x.clone().requires_grad_()
    low = net.low(x)
    assert torch.equal(low, picture)
    low.square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * low_band(low.detach(), SMALL.bypass / SMALL.image_size))


@pytest.mark.parametrize(("cycles", "left"), [(0.1, 0.009), (0.25, 0.25), (0.4, 0.818)])
def test_the_sharpest_is_what_lies_around_nyquist(cycles: float, left: float) -> None:
    wave = torch.cos(2 * torch.pi * cycles * torch.arange(200.0)).expand(1, 3, 20, 200)
    ratio = sharpest(wave).std() / wave.std()
    assert ratio.item() == pytest.approx(left, rel=0.03)
