"""The codebook decoder: published sizes, a budget, what fidelity does, and whose say the codes have."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.codebook import (
    CODEBOOK,
    COMPONENT,
    CodebookDecoder,
    CodebookDecoderConfig,
    Fine,
    Fusion,
    adapted,
)
from tests.see_the_speaker.small_codebook import PLAIN, SMALL, small_decoder


def pictures(count: int, config: CodebookDecoderConfig = SMALL, seed: int = 0) -> Tensor:
    """[count, 3, s, s] in 0..1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, config.input_size, config.input_size, generator=generator)


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_base_has_the_published_sizes() -> None:
    with torch.device("meta"):
        net = CodebookDecoder(CodebookDecoderConfig.preset("base"))
    assert millions(net) == pytest.approx(94.1, rel=0.001)
    assert millions(net.fusions) == pytest.approx(10.7, rel=0.01)
    assert net.quantiser.vectors.shape == (1024, 256)
    assert (len(net.predictor.layers), net.predictor.layers[0].heads) == (9, 8)
    sharp = net.config.autoencoder
    assert [sharp.image_size // 2**scale for scale in net.config.fused] == [256, 128, 64, 32]
    assert (net.config.input_size, sharp.image_size, sharp.grid) == (128, 512, 16)


def test_tiny_is_within_its_budget() -> None:
    net = CodebookDecoder(CodebookDecoderConfig.preset("tiny")).eval()
    assert sum(tensor.numel() for tensor in net.state_dict().values()) <= 1.2e6
    with FlopCounterMode(display=False) as counter:
        sharp = net.enhance(torch.zeros(1, 3, 128, 128))
    assert sharp.shape == (1, 3, 256, 256)
    assert counter.get_total_flops() <= 2.7e9


@pytest.mark.parametrize("config", [*CodebookDecoderConfig.presets().values(), SMALL, PLAIN])
def test_settings_survive_json(config: CodebookDecoderConfig) -> None:
    assert CodebookDecoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("config", [SMALL, PLAIN], ids=["small", "plain"])
def test_fidelity_leads_from_the_codes_to_the_input(config: CodebookDecoderConfig) -> None:
    net, soft = small_decoder(config), pictures(2, config)
    by_codes, half, faithful = (net.enhance(soft, w) for w in (0.0, 0.5, 1.0))
    assert by_codes.shape == (2, 3, 32, 32)
    assert by_codes.dtype == torch.float32
    assert by_codes.min() >= 0
    assert by_codes.max() <= 1
    apart = (by_codes - faithful).abs().mean()
    assert apart > 1e-4
    assert (half - faithful).abs().mean() < apart
    assert torch.equal(net.enhance(soft), net.enhance(soft, config.fidelity))
    each = net(soft * 2 - 1, torch.tensor([0.0, 1.0])[:, None, None, None]).pictures / 2 + 0.5
    torch.testing.assert_close(each.clamp(0, 1), torch.stack([by_codes[0], faithful[1]]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [SMALL, PLAIN], ids=["small", "plain"])
def test_gradients_reach_what_drew_the_input(config: CodebookDecoderConfig) -> None:
    """So a renderer can be trained by what becomes of its pictures; the choice of codes itself has no gradient."""
    net, soft = small_decoder(replace(config, adapt=False)), pictures(1, config).requires_grad_()
    (faithful,) = torch.autograd.grad(net(soft * 2 - 1, 1.0).pictures.square().mean(), soft)
    assert (faithful.abs().sum(1) > 0).float().mean() > 0.9
    (by_codes,) = torch.autograd.grad(net(soft * 2 - 1, 0.0).pictures.square().mean(), soft, allow_unused=True)
    assert (by_codes is None) == (not config.autoencoder.bypass)


def test_the_published_transformation() -> None:
    """out = d + w (d scale + shift), and nothing but d before it is trained."""
    torch.manual_seed(0)
    decoded, encoded = torch.randn(2, 2, 8, 4, 4)
    for width in (0, 4):
        fusion = Fusion(8, width, norm=True)
        assert torch.equal(fusion(decoded, encoded, 1.0), decoded)
    fusion = Fusion(8, 0, norm=True)
    for parameter in fusion.parameters():
        nn.init.normal_(parameter, std=0.1)
    h = fusion.both(torch.cat([encoded, decoded], 1))
    wanted = decoded + 0.3 * (decoded * fusion.scale(h) + fusion.shift(h))
    torch.testing.assert_close(fusion(decoded, encoded, 0.3), wanted)


def test_without_fidelity_and_bypass_equal_codes_are_equal_pictures() -> None:
    config = replace(PLAIN, adapt=False)
    net, soft = small_decoder(config), pictures(2, config) * 2 - 1
    _, maps = net.encode(soft)
    codes = torch.randint(16, (1, *(config.autoencoder.grid,) * 2)).expand(2, -1, -1)
    one, other = net.decode(net.quantiser.lookup(codes), soft, maps, 0.0)
    assert torch.equal(one, other)
    one, other = net.decode(net.quantiser.lookup(codes), soft, maps, 1.0)
    assert not torch.allclose(one, other, atol=1e-3)


def test_light_and_colour_change_no_code() -> None:
    net, soft = small_decoder(), pictures(2) * 2 - 1
    cast = soft * 0 + torch.tensor([0.2, -0.1, 0.05])[:, None, None]
    torch.testing.assert_close(net(soft + cast).logits, net(soft).logits, atol=1e-4, rtol=0)
    assert not torch.allclose(net(soft.flip(-1)).logits, net(soft).logits, atol=1e-2)


def test_the_low_band_is_the_inputs_own_at_the_outputs_size() -> None:
    """What has no finer detail than the by-pass, and no detail of the decoder's, comes out as it went in, enlarged."""
    net = small_decoder()
    n = torch.arange(16) + 0.5
    wave = torch.cos(torch.pi / 16 * n * 3).expand(1, 3, 16, 16) * 0.5
    enlarged = net.low(wave)
    n = torch.arange(32) + 0.5
    torch.testing.assert_close(enlarged, torch.cos(torch.pi / 32 * n * 3).expand(1, 3, 32, 32) * 0.5, atol=1e-5, rtol=0)
    fine = torch.cos(torch.pi / 16 * (torch.arange(16) + 0.5) * 13).expand(1, 3, 16, 16)
    assert net.low(fine).abs().max() < 1e-5


def test_attention_reaches_over_the_whole_face() -> None:
    net, soft = small_decoder(), pictures(1) * 2 - 1
    other = soft.clone()
    other[..., :4, :4] = other[..., :4, :4].flip(-1)
    change = (net(soft).logits - net(other).logits).abs().amax(-1)[0]
    assert change[-1, -1] > 1e-6


def test_a_position_is_learnt_for_each_token() -> None:
    """Without it, tokens that change places take their logits along."""
    net, latent = small_decoder(), torch.randn(1, 12, 4, 4)
    swapped = latent.roll(2, -1)
    moved = net.predictor(swapped).roll(-2, 2)
    assert not torch.allclose(moved, net.predictor(latent), atol=1e-4)
    with torch.no_grad():
        net.predictor.position.zero_()
    torch.testing.assert_close(net.predictor(swapped).roll(-2, 2), net.predictor(latent), atol=1e-5, rtol=1e-5)


def test_expected_codes_lead_to_the_likeliest() -> None:
    net, logits = small_decoder(), torch.randn(2, 4, 4, 16)
    guess = torch.zeros(2, 4, 4, 4)
    hard = small_decoder(replace(SMALL, temperature=0.0)).vectors(logits, guess)
    assert torch.equal(hard, net.quantiser.lookup(logits.argmax(-1)))
    torch.testing.assert_close(net.vectors(1e4 * logits, guess), hard)
    even = net.vectors(torch.zeros(1, 1, 1, 16), guess)
    torch.testing.assert_close(even[0, 0, 0], net.quantiser.vectors.mean(0))
    one, other = logits.clone(), logits.clone()
    one[0, 0, 0, :2], other[0, 0, 0, :2] = torch.tensor([9.0, 9.01]), torch.tensor([9.01, 9.0])
    assert (net.vectors(one, guess) - net.vectors(other, guess)).abs().max() < 0.02


def test_the_last_stage_mends_pixels_and_sees_the_input_by_its_share() -> None:
    torch.manual_seed(0)
    fine, decoded, soft = Fine(2, 4), torch.randn(1, 3, 32, 32), torch.randn(1, 3, 16, 16)
    assert torch.equal(fine(decoded, soft, 1.0), decoded)
    for parameter in fine.parameters():
        nn.init.normal_(parameter, std=0.3)
    assert torch.equal(fine(decoded, soft, 0.0), fine(decoded, soft * 0, 1.0))
    assert not torch.allclose(fine(decoded, soft, 0.0), fine(decoded, soft, 1.0), atol=1e-3)
    other = decoded.clone()
    other[..., 5, 5] += 1
    moved = (fine(other, soft, 1.0) - fine(decoded, soft, 1.0)).abs().amax((0, 1))
    assert (moved > 0).sum() <= 14**2  # far pixels stay
    assert moved[5, 5] > 0.5


def test_adaptation_gives_codes_the_inputs_moments() -> None:
    like = 3 * torch.randn(2, 4, 4, 5) + 1
    moved = adapted(torch.randn(2, 4, 4, 5), like)
    torch.testing.assert_close(moved.mean((1, 2)), like.mean((1, 2)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved.std((1, 2)), like.std((1, 2)), atol=1e-2, rtol=1e-2)


def test_what_does_not_fit_is_refused() -> None:
    net = small_decoder()
    with pytest.raises(InputError, match=r"takes \[B, 3, 16, 16\]"):
        net.enhance(torch.zeros(1, 3, 32, 32))
    with pytest.raises(InputError, match=r"fidelity 1.5; it lies between 0"):
        net.enhance(pictures(1), 1.5)
    with pytest.raises(InputError, match="cannot hold a code"):
        replace(SMALL, latent=3)
    with pytest.raises(InputError, match="to fuse"):
        replace(SMALL, fused=(0, 2))
    with pytest.raises(InputError, match="by-pass"):
        replace(SMALL, autoencoder=replace(SMALL.autoencoder, bypass=20))


def test_a_checkpoint_brings_it_back_in_half_precision(tmp_path: Path) -> None:
    net, path, soft = small_decoder(), tmp_path / "system.safetensors", pictures(2)
    save_checkpoint(path, "see_the_speaker", {COMPONENT: net}, {COMPONENT: SMALL.to_dict()}, {}, torch.float16)
    again = build(read_checkpoint(path, "see_the_speaker"), CODEBOOK)
    torch.testing.assert_close(again.enhance(soft, 1.0), net.enhance(soft, 1.0), atol=0.05, rtol=0)
    half = build(read_checkpoint(path), CODEBOOK, dtype=torch.bfloat16)
    sharp = half.enhance(soft, 1.0)
    assert sharp.dtype == torch.float32
    assert half.quantiser.embedding.dtype == torch.float32
    assert (sharp - net.enhance(soft, 1.0)).abs().mean() < 0.05
