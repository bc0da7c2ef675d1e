"""The network of detail: zero at first, whole pictures equal to their parts, texture finer than its input."""

from pathlib import Path

import pytest
import torch
from torch import nn

from talkface_core.dae_talker.upsampler import UPSAMPLER, Upsampler, UpsamplerConfig
from talkface_core.errors import InputError
from talkface_core.subpixel import SubpixelConfig, SubpixelNet

SMALL = SubpixelConfig(wide=8, deep=1, fine=4, shallow=1, last=4)


def trained_looking(channels: int = 5, factor: int = 2) -> SubpixelNet:
    torch.manual_seed(0)
    net = SubpixelNet(channels, factor, SMALL)
    nn.init.normal_(net.out.weight, std=0.3)
    return net.eval()


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_it_begins_as_nothing(factor: int) -> None:
    maps = torch.randn(2, 5, 8, 12)
    assert torch.equal(SubpixelNet(5, factor, SMALL)(maps), torch.zeros(2, 3, 8 * factor, 12 * factor))


def test_squares_show_what_the_whole_shows() -> None:
    """So it can learn from squares; only near their borders, where they see no further, they differ."""
    net, maps = trained_looking(), torch.randn(1, 5, 96, 96)
    whole, part = net(maps), net(maps[..., 8:88, 16:96])
    torch.testing.assert_close(part[..., 72:88, 72:88], whole[..., 88:104, 104:120], atol=1e-5, rtol=0)
    assert not torch.allclose(part[..., :4, :4], whole[..., 16:20, 32:36], atol=1e-3)


def test_neighbours_among_the_pixels_it_draws_differ() -> None:
    drawn = trained_looking()(torch.randn(1, 5, 8, 8)).detach()
    assert (drawn - nn.functional.avg_pool2d(drawn, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)).std() > 1e-3


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match="last is 0"):
        SubpixelConfig(last=0)
    with pytest.raises(InputError, match="deep"):
        SubpixelConfig(deep=-1)


def test_the_upsampler_is_such_a_network_over_an_enlargement(tmp_path: Path) -> None:
    net = Upsampler(UpsamplerConfig(image_size=8, wide=8, deep=1, fine=4))
    assert isinstance(net, SubpixelNet)
    assert UPSAMPLER.config.from_dict(net.config.to_dict()) == net.config
