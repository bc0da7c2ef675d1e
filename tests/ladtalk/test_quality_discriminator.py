"""The quality discriminator: published size, judges the lower half of one picture."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.ladtalk.quality_discriminator import QualityDiscriminator, QualityDiscriminatorConfig


def test_published_size():
    with torch.device("meta"):
        net = QualityDiscriminator(QualityDiscriminatorConfig.preset("base"))
    assert abs(sum(p.numel() for p in net.parameters()) / 14.1e6 - 1) < 0.01
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_only_the_lower_half_counts(preset):
    torch.manual_seed(0)
    net = QualityDiscriminator(QualityDiscriminatorConfig.preset(preset))
    crops = torch.rand(3, 3, 96, 96)
    with torch.no_grad():
        logits = net(crops)
        assert logits.shape == (3,)
        upper, lower = crops.clone(), crops.clone()
        upper[:, :, :48] = 0
        lower[:, :, 48:] = 0
        torch.testing.assert_close(net(upper), logits)
        assert not torch.allclose(net(lower), logits)


def test_presets():
    with pytest.raises(InputError, match="huge"):
        QualityDiscriminatorConfig.preset("huge")
    assert QualityDiscriminatorConfig.preset("base").to_dict()["channels"][-1] == 512
