"""The U-Net and its blocks against plain formulas, and what the diffusion systems rely on."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from talkface_core.diffusion.blocks import Resample, ResBlock, SelfAttention2d, group_norm, timestep_embedding
from talkface_core.diffusion.unet import EncoderConfig, ImageEncoder, UNet, UNetConfig

SMALL = UNetConfig(
    image_size=16,
    in_channels=3,
    out_channels=3,
    channels=(32, 64),
    attention=(False, True),
    time_dim=24,
    time_frequencies=16,
    cond_dim=20,
)
ENCODER = EncoderConfig(
    image_size=16, in_channels=3, out_dim=7, channels=(32, 32, 64), attention=(False, True, False), blocks=1
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def changed(config, **changes):
    return type(config)(**{**vars(config), **changes})


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """No weight at zero, so that every branch counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(fan_in))
    return module.eval()


def inputs(config: UNetConfig = SMALL, batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, config.in_channels, config.image_size, config.image_size, generator=generator)
    return x, torch.arange(batch) * 400 + 7, torch.randn(batch, config.cond_dim or 1, generator=generator)


def test_timestep_embedding_is_cosines_then_sines() -> None:
    embedding = timestep_embedding(torch.tensor([0, 7, 999]), 6)
    for row, t in zip(embedding, (0, 7, 999), strict=True):
        angles = [t * 10_000 ** (-i / 3) for i in range(3)]
        expected = torch.tensor([*map(math.cos, angles), *map(math.sin, angles)], dtype=torch.float32)
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-4)
    assert torch.equal(timestep_embedding(torch.tensor([7]), 7)[:, :6], embedding[1:2])
    assert timestep_embedding(torch.tensor([7]), 7)[0, 6] == 0


@pytest.mark.parametrize(("channels", "groups"), [(32, 32), (96, 32), (512, 32), (48, 16), (8, 8)])
def test_group_norm_divides_the_channels(channels: int, groups: int) -> None:
    norm = group_norm(channels)
    assert (norm.num_groups, norm.eps) == (groups, 1e-5)


def test_resampling_repeats_and_averages() -> None:
    x = torch.arange(8.0).reshape(1, 1, 2, 4)
    assert torch.equal(Resample("down")(x), torch.tensor([[[[2.5, 4.5]]]]))
    assert torch.equal(Resample("up")(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert Resample("none")(x) is x


@pytest.mark.parametrize("resample", ["none", "up", "down"])
@torch.no_grad()
def test_time_scales_and_shifts_before_z_scales(resample: str) -> None:
    block = randomised(ResBlock(32, 64, time_dim=24, cond_dim=20, resample=resample))
    x, time, z = torch.randn(2, 32, 8, 8), torch.randn(2, 24), torch.randn(2, 20)
    resized = Resample(resample)
    h = block.conv_in(resized(F.silu(F.group_norm(x, 32, block.norm_in.weight, block.norm_in.bias))))
    h = F.group_norm(h, 32, block.norm_out.weight, block.norm_out.bias)
    t_scale, t_shift = block.time(F.silu(time))[:, :, None, None].split(64, dim=1)
    z_scale = block.cond(F.silu(z))[:, :, None, None]
    for cond, factor in ((z, 1 + z_scale), (None, 1)):
        modulated = (h * (1 + t_scale) + t_shift) * factor
        expected = block.skip(resized(x)) + block.conv_out(F.silu(modulated))
        torch.testing.assert_close(block(x, time, cond), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_block_without_time_has_one_convolution() -> None:
    block = randomised(ResBlock(32, 64))
    x = torch.randn(2, 32, 8, 8)
    torch.testing.assert_close(block(x), block.skip(x) + block.conv_in(F.silu(block.norm_in(x))))
    assert sum(isinstance(module, nn.Conv2d) for module in block.modules()) == 2


def test_dropout_only_while_training() -> None:
    block = randomised(ResBlock(32, 32, time_dim=24, dropout=0.5))
    x, time = torch.randn(1, 32, 8, 8), torch.randn(1, 24)
    assert torch.equal(block(x, time), block(x, time))
    block.train()
    assert not torch.equal(block(x, time), block(x, time))


@pytest.mark.parametrize("heads", [1, 4])
@torch.no_grad()
def test_attention_is_softmax_attention_head_by_head(heads: int) -> None:
    """Each head owns one run of q, k, v channels, in that order (the order of Dhariwal & Nichol's first code)."""
    attention = randomised(SelfAttention2d(32, heads))
    x = torch.randn(2, 32, 3, 5)
    qkv = attention.qkv(attention.norm(x).flatten(2))
    outputs = []
    for head in qkv.chunk(heads, dim=1):
        q, k, v = head.chunk(3, dim=1)
        weight = (q.transpose(1, 2) @ k / math.sqrt(32 / heads)).softmax(dim=-1)
        outputs.append(v @ weight.transpose(1, 2))
    expected = x + attention.proj(torch.cat(outputs, dim=1)).reshape(x.shape)
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_fresh_network_predicts_zero_and_fresh_blocks_do_nothing() -> None:
    assert torch.equal(UNet(SMALL).eval()(*inputs()), torch.zeros(2, 3, 16, 16))
    x = torch.randn(2, 32, 4, 4)
    assert torch.equal(ResBlock(32, 32, time_dim=24, cond_dim=20)(x, torch.randn(2, 24), torch.randn(2, 20)), x)
    assert torch.equal(SelfAttention2d(32)(x), x)


@pytest.mark.parametrize("blocks_up", [1, 2, 5])
def test_more_or_fewer_blocks_up_than_skips(blocks_up: int) -> None:
    config = changed(SMALL, blocks_down=1, blocks_up=blocks_up, attention=(False, False))
    net = randomised(UNet(config))
    # Level 1 keeps the skips of its halving block (32) and its own block (64), level 0 those of the stem and its block.
    skips = {1: [64, 32], 0: [32, 32]}
    width = 64
    for level, stage in zip((1, 0), net.up, strict=True):
        for block, skip in itertools.zip_longest(stage[:blocks_up], skips[level][:blocks_up], fillvalue=0):
            assert block.norm_in.num_channels == width + skip
            width = config.channels[level]
    out = net(*inputs(config))
    assert out.shape == (2, 3, 16, 16)
    out.square().mean().backward()
    silent = {name for name, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert silent == set()


@pytest.mark.parametrize("patch", [1, 4])
@pytest.mark.parametrize("learned_position", [False, True])
def test_shapes_and_that_the_conditions_matter(patch: int, learned_position: bool) -> None:
    config = changed(SMALL, out_channels=5, patch=patch, learned_position=learned_position)
    net = randomised(UNet(config))
    assert (net.stem.position is not None) == learned_position
    x, t, z = inputs(config)
    with torch.no_grad():
        out = net(x, t, z)
        assert out.shape == (2, 5, 16, 16)
        for other in (net(x + 0.1, t, z), net(x, t + 90, z), net(x, t, z + 0.5), net(x, t, None)):
            assert (other - out).abs().mean() > 1e-3
        torch.testing.assert_close(net(x[1:], t[1:], z[1:]), out[1:], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_learned_position_tells_places_apart() -> None:
    """Without it a shift of a flat picture's patches changes nothing; zero padding acts at the border only."""
    flat, t, z = torch.zeros(1, 3, 32, 32), torch.tensor([5]), torch.ones(1, 20)
    sizes = {"image_size": 32, "channels": (32,), "attention": (False,), "blocks_down": 1, "blocks_up": 1}

    def middle(learned_position: bool) -> Tensor:
        net = randomised(UNet(changed(SMALL, learned_position=learned_position, **sizes)))
        return net(flat, t, z)[..., 12:20, 12:20]

    assert middle(False).std(dim=(2, 3)).max() < 1e-4
    assert middle(True).std(dim=(2, 3)).min() > 1e-3


@torch.no_grad()
def test_without_condition_and_in_half_precision() -> None:
    config = changed(SMALL, cond_dim=None)
    x, t, _ = inputs(config)
    net = randomised(UNet(config))
    assert not any(".cond." in name for name, _ in net.named_parameters())
    full = net(x, t)
    half = net.bfloat16()(x.bfloat16(), t)
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).norm() < 0.1 * full.norm()


def test_an_encoder_gives_one_vector_a_picture() -> None:
    net = randomised(ImageEncoder(ENCODER))
    x, *_ = inputs()
    z = net(x)
    assert z.shape == (2, 7)
    torch.testing.assert_close(net(x[1:]), z[1:], rtol=1e-4, atol=1e-5)
    z.square().sum().backward()
    assert all(parameter.grad.any() for parameter in net.parameters())


def test_the_sizes_say_where_attention_is() -> None:
    net = UNet(changed(SMALL, channels=(32, 32, 64), attention=(False, True, False), blocks_down=2, blocks_up=3))
    where = {name.rpartition(".")[0] for name, module in net.named_modules() if isinstance(module, SelfAttention2d)}
    assert where == {"down.1.1", "down.1.2", "middle", "up.1.0", "up.1.1", "up.1.2"}
    encoder = ImageEncoder(ENCODER)
    where = {name.rpartition(".")[0] for name, module in encoder.named_modules() if isinstance(module, SelfAttention2d)}
    assert where == {"down.2", "middle"}


@pytest.mark.parametrize("make", [lambda ops: UNet(SMALL, ops), lambda ops: ImageEncoder(ENCODER, ops)])
def test_every_layer_comes_from_operations(make) -> None:
    """A host hands in layers that cast their weights: one layer made elsewhere would keep its own dtype."""
    own = {base: type(base.__name__, (base,), {}) for base in (nn.Conv2d, nn.Conv1d, nn.Linear, nn.GroupNorm)}
    net = make(SimpleNamespace(**{base.__name__: layer for base, layer in own.items()}))
    used = set()
    for name, module in net.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            assert type(module) in own.values(), name
            used.add(type(module))
    assert used >= {own[nn.Conv2d], own[nn.Conv1d], own[nn.GroupNorm]}
    assert (own[nn.Linear] in used) == isinstance(net, UNet)
