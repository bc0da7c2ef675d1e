"""The lip expert: published size, unit vectors, the losses' meaning, and the fold of its norms."""

import json
import math

import pytest
import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.errors import InputError
from talkface_core.sync.blocks import ConvBNReLU, fold_batchnorm
from talkface_core.sync.syncnet import SyncNet, SyncNetConfig, load_syncnet, lower_half, sync_loss


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_published_size():
    with torch.device("meta"):
        assert abs(count(SyncNet(SyncNetConfig.preset("base"))) / 16.4e6 - 1) < 0.01
        assert 2 * count(SyncNet()) < 3 * 2**20  # bundled in float16


@pytest.mark.parametrize("preset", ["tiny", "base"])
def test_vectors_are_of_length_one(preset):
    torch.manual_seed(0)
    net = SyncNet(SyncNetConfig.preset(preset))
    faces, speech = net(torch.rand(3, 5, 3, 48, 96), torch.randn(3, 1, 80, 16))
    assert faces.shape == speech.shape == (3, net.config.face[-1])
    torch.testing.assert_close(faces.norm(dim=1), torch.ones(3))
    # As published, ReLUs make the cosine a probability; the other may answer below zero.
    assert bool((faces >= 0).all()) == (preset == "base")


def test_colour_is_turned_inside():
    torch.manual_seed(0)
    net = SyncNet().eval()
    other = SyncNet(SyncNetConfig(colour="bgr")).eval()
    other.load_state_dict(net.state_dict())
    faces = torch.rand(2, 5, 3, 48, 96)
    torch.testing.assert_close(net.faces(faces), other.faces(faces.flip(2)))


def test_the_loss_is_the_published_cross_entropy():
    torch.manual_seed(0)
    net = SyncNet(SyncNetConfig.preset("base")).eval()
    faces, windows = torch.rand(2, 5, 3, 48, 96), torch.randn(2, 1, 80, 16)
    a, b = net(faces, windows)
    cosine = (a * b).sum(1)
    torch.testing.assert_close(sync_loss(net, faces, windows), -cosine.log().mean())
    expected = -(cosine[0].log() + (1 - cosine[1]).log()) / 2
    torch.testing.assert_close(sync_loss(net, faces, windows, torch.tensor([1.0, 0.0])), expected)


def test_the_logistic_probability():
    net = SyncNet()
    with torch.no_grad():
        net.scale.fill_(math.log(4.0))
        net.offset.fill_(-1.0)
    torch.testing.assert_close(net.logits(torch.tensor(0.5)), torch.tensor(1.0))


def test_folding_changes_nothing():
    torch.manual_seed(0)
    net = SyncNet()
    net(torch.rand(4, 5, 3, 48, 96), torch.randn(4, 1, 80, 16))  # moves the running statistics
    net.eval()
    plain = SyncNet(net.config, norm=False).eval()
    plain.load_state_dict(fold_batchnorm(net))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in plain.modules())
    faces, windows = torch.rand(2, 5, 3, 48, 96), torch.randn(2, 1, 80, 16)
    for a, b in zip(net(faces, windows), plain(faces, windows), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_loading(tmp_path):
    torch.manual_seed(0)
    net = SyncNet()
    net(torch.rand(4, 5, 3, 48, 96), torch.randn(4, 1, 80, 16))
    path = tmp_path / "sync.safetensors"
    save_checkpoint(path, "sync", {"syncnet": net}, {"syncnet": net.config.to_dict()}, {})
    loaded = load_syncnet(path)
    assert not any(weight.requires_grad for weight in loaded.parameters())
    faces, windows = torch.rand(2, 5, 3, 48, 96), torch.randn(2, 1, 80, 16)
    with torch.no_grad():
        expected = sync_loss(net.eval(), faces, windows)
    torch.testing.assert_close(sync_loss(loaded, faces, windows), expected, atol=1e-5, rtol=1e-4)


def test_units():
    x = torch.rand(1, 4, 6, 6)
    assert ConvBNReLU(4, 8, grow=2)(x).shape == (1, 8, 12, 12)
    assert ConvBNReLU(4, 8, grow=1)(x[..., :1, :1]).shape == (1, 8, 3, 3)
    unit = ConvBNReLU(4, 4, residual=True, norm=False)
    torch.nn.init.zeros_(unit.conv.weight)
    torch.nn.init.zeros_(unit.conv.bias)
    torch.testing.assert_close(unit(x), x)


def test_configs():
    for name in ("tiny", "base"):
        config = SyncNetConfig.preset(name)
        assert SyncNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    short = (8, 8, 8, 8, 8)
    for wrong, message in (({"colour": "cmyk"}, "cmyk"), ({"size": 64}, "stages"), ({"speech": short}, "length")):
        with pytest.raises(InputError, match=message):
            SyncNetConfig(**wrong)
    with pytest.raises(InputError, match="huge"):
        SyncNetConfig.preset("huge")


def test_lower_half():
    assert torch.equal(lower_half(torch.arange(4.0)[:, None]), torch.tensor([[2.0], [3.0]]))
