"""Convolutions of enlarged maps, computed before they are enlarged."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from talkface_core.see_the_speaker.grown_convolution import GrownConvolution, grown_state


@pytest.mark.parametrize("growth", [2, 4, 8])
def test_maps(growth):
    torch.manual_seed(0)
    plain, grown = nn.Conv2d(3, 5, 3, padding=1), GrownConvolution(3, 5, growth, None)
    grown.load_state_dict(grown_state(grown, plain.weight, plain.bias))
    x = torch.randn(2, 3, 6, 4)
    expected = plain(F.interpolate(x, scale_factor=float(growth)))
    assert torch.allclose(grown(x), expected, atol=1e-5)


def test_volumes():
    torch.manual_seed(0)
    plain, grown = nn.Conv3d(3, 5, 3, padding=1), GrownConvolution(3, 5, 2, 3)
    grown.load_state_dict(grown_state(grown, plain.weight, plain.bias))
    x = torch.randn(2, 3, 4, 6, 5)
    assert torch.allclose(grown(x), plain(F.interpolate(x, scale_factor=(1, 2, 2))), atol=1e-5)
