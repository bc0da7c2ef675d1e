"""The U-Net's context tokens and spatial map: off by default, at first without effect, then heard by every position."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from talkface_core.diffusion.blocks import CrossAttention2d
from talkface_core.diffusion.unet import UNet, UNetConfig
from talkface_core.errors import InputError

SIZES = {"image_size": 16, "in_channels": 3, "out_channels": 3, "channels": (32, 64), "attention": (False, True)}
PLAIN = UNetConfig(**SIZES, time_dim=24, time_frequencies=16, cond_dim=20, heads=2)
TOKENS = UNetConfig(**SIZES, time_dim=24, time_frequencies=16, cond_dim=20, heads=2, context_dim=12)
MAP = UNetConfig(**SIZES, time_dim=24, time_frequencies=16, cond_dim=20, heads=2, spatial_channels=4)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def randomised(module: nn.Module) -> nn.Module:
    """No weight at zero, so that every branch counts."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 16
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(fan_in))
    return module.eval()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    return normal(2, 3, 16, 16), torch.tensor([7, 400]), normal(2, 20)


@torch.no_grad()
def test_cross_attention_is_softmax_attention_head_by_head():
    layer = randomised(CrossAttention2d(32, 12, heads=4))
    x, context = normal(2, 32, 3, 5), normal(2, 7, 12, seed=1)
    q = layer.to_q(layer.norm(x).flatten(2).transpose(1, 2))
    k, v = layer.to_k(context), layer.to_v(context)
    heads = []
    for qh, kh, vh in zip(q.chunk(4, 2), k.chunk(4, 2), v.chunk(4, 2), strict=True):
        heads.append((qh @ kh.transpose(1, 2) / math.sqrt(8)).softmax(-1) @ vh)
    expected = x + layer.to_out(torch.cat(heads, 2)).transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(layer(x, context), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_hidden_tokens_are_as_if_they_were_not_there():
    layer = randomised(CrossAttention2d(32, 12))
    x, context = normal(2, 32, 3, 5), normal(2, 7, 12, seed=1)
    mask = torch.tensor([[True] * 4 + [False] * 3] * 2)
    torch.testing.assert_close(layer(x, context, mask), layer(x, context[:, :4]))


@torch.no_grad()
def test_fresh_cross_attention_is_the_identity():
    x = normal(2, 32, 4, 4)
    assert torch.equal(CrossAttention2d(32, 12, heads=2)(x, normal(2, 7, 12)), x)


@torch.no_grad()
def test_a_network_that_is_given_the_context_later_starts_as_it_was():
    plain, tokens = randomised(UNet(PLAIN)), UNet(TOKENS).eval()
    loaded = tokens.load_state_dict(plain.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    assert loaded.missing_keys
    assert all("cross." in key for key in loaded.missing_keys)
    expected = plain(*inputs())
    assert torch.equal(tokens(*inputs(), context=normal(2, 7, 12)), expected)
    assert torch.equal(tokens(*inputs()), expected)


def test_without_the_options_the_weights_are_what_they_were():
    layers = UNet(PLAIN).state_dict()
    assert not any("cross" in key for key in layers)
    assert layers["stem.conv.weight"].shape[1] == 3
    assert UNetConfig.from_dict({key: value for key, value in PLAIN.to_dict().items() if key in SIZES}) == UNetConfig(
        **SIZES
    )


def test_every_attention_looks_at_the_context_and_a_gradient_reaches_it():
    net, context = randomised(UNet(TOKENS)), normal(2, 7, 12).requires_grad_()
    where = {name.rpartition(".")[0] for name, layer in net.named_modules() if isinstance(layer, CrossAttention2d)}
    assert where == {"down.1.1", "down.1.2", "", "up.0.0", "up.0.1", "up.0.2"}
    net(*inputs(), context=context).square().mean().backward()
    assert context.grad.abs().amax(-1).min() > 0
    silent = {name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert silent == set()


def test_a_fresh_networks_gradient_opens_the_context():
    """Zeros at the output of the attention hide the context at first; the step after does not."""
    torch.manual_seed(0)
    layer, x, context = CrossAttention2d(32, 12), normal(1, 32, 4, 4), normal(1, 7, 12).requires_grad_()
    layer(x, context).square().sum().backward()
    assert not context.grad.any()
    assert layer.to_out.weight.grad.any()
    with torch.no_grad():
        layer.to_out.weight -= 0.01 * layer.to_out.weight.grad
    layer(x, context).square().sum().backward()
    assert context.grad.any()


@torch.no_grad()
def test_samples_keep_their_own_context_and_map():
    tokens, plane = randomised(UNet(TOKENS)), randomised(UNet(MAP))
    (x, t, z), context, spatial = inputs(), normal(2, 7, 12), normal(2, 4, 16, 16)
    for net, name, value in ((tokens, "context", context), (plane, "spatial", spatial)):
        both = net(x, t, z, **{name: value})
        torch.testing.assert_close(net(x[1:], t[1:], z[1:], **{name: value[1:]}), both[1:], rtol=1e-4, atol=1e-4)
        assert (net(x, t, z, **{name: value.flip(0)}) - both).abs().mean() > 1e-3


@torch.no_grad()
def test_a_map_acts_where_it_is():
    """One pixel of the map reaches its neighbourhood first: without attention the far corner changes least."""
    net = randomised(UNet(UNetConfig(**{**vars(MAP), "attention": (False,), "channels": (32,)})))
    net.middle[1] = nn.Identity()
    x, t, z = (value[:1] for value in inputs())
    spatial = torch.zeros(1, 4, 16, 16)
    moved = spatial.clone()
    moved[..., 2, 2] = 3.0
    change = (net(x, t, z, spatial=moved) - net(x, t, z, spatial=spatial)).abs().amax(1)[0]
    assert change[:5, :5].mean() > 5 * change[11:, 11:].mean()


def test_conditions_that_do_not_fit_are_refused():
    for config, condition, words in (
        (PLAIN, {"context": normal(2, 7, 12)}, "width 12 .* context_dim None"),
        (TOKENS, {"context": normal(2, 7, 9)}, "width 9 .* context_dim 12"),
        (PLAIN, {"spatial": normal(2, 4, 16, 16)}, "4 channels .* spatial_channels 0"),
        (MAP, {"spatial": normal(2, 3, 16, 16)}, "3 channels .* spatial_channels 4"),
        (MAP, {}, "0 channels .* spatial_channels 4"),
    ):
        with pytest.raises(InputError, match=words):
            UNet(config)(*inputs(), **condition)


def test_layers_of_the_context_come_from_operations():
    own = {base: type(base.__name__, (base,), {}) for base in (nn.Conv2d, nn.Conv1d, nn.Linear, nn.GroupNorm)}
    net = UNet(TOKENS, SimpleNamespace(**{base.__name__: layer for base, layer in own.items()}))
    for name, module in net.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            assert type(module) in own.values(), name


@torch.no_grad()
def test_context_in_half_precision():
    net, context = randomised(UNet(TOKENS)), normal(2, 7, 12)
    x, t, z = inputs()
    full = net(x, t, z, context=context)
    half = net.bfloat16()(x.bfloat16(), t, z.bfloat16(), context=context.bfloat16())
    assert half.dtype == torch.bfloat16
    assert (half.float() - full).norm() < 0.1 * full.norm()
