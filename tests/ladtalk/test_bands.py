"""Bands of a picture: what each takes away and leaves."""

import pytest
import torch

from talkface_core.ladtalk.bands import low_band, sharpest


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


@pytest.mark.parametrize(("cycles", "left"), [(0.1, 0.009), (0.25, 0.25), (0.4, 0.818)])
def test_the_sharpest_is_what_lies_around_nyquist(cycles: float, left: float) -> None:
    wave = torch.cos(2 * torch.pi * cycles * torch.arange(200.0)).expand(1, 3, 20, 200)
    ratio = sharpest(wave).std() / wave.std()
    assert ratio.item() == pytest.approx(left, rel=0.03)
