"""Margins, Lipschitz constants and certificates: below the bound no code changes."""

import math

import pytest
import torch
from torch import Tensor, nn

from talkface_core.errors import InputError
from talkface_core.ladtalk.quantiser import Whitening, nearest_code
from talkface_core.ladtalk.robustness import (
    Certificate,
    break_points,
    certify,
    exact_encoder,
    global_lipschitz,
    kinds_of_noise,
    likely_survival,
    local_lipschitz,
    margins,
    noise_gain,
    same_codes,
    segment_lipschitz,
    spectral_bound,
)
from talkface_core.ladtalk.sovqae import SOVQAE, ResBlock, SOVQAEConfig
from tests.ladtalk.small_sovqae import PLAIN, SMALL, CodebookConfig, frames, sovqae

FLAT = SOVQAEConfig(
    image_size=16,
    patch=2,
    channels=(6, 8),
    blocks=1,
    attention=(False, False),
    middle=False,
    norm=False,
    codebook=CodebookConfig(codes=12, dim=4),
)
"""A net with a constant that holds everywhere: no sphere, no normalisation, no attention."""


@pytest.fixture(scope="module")
def flat() -> SOVQAE:
    return sovqae(FLAT).double()


def jacobian(encode, x: Tensor) -> Tensor:
    """[N, M] of one frame [1, ...], one column a pixel."""
    full = torch.autograd.functional.jacobian(encode, x)
    return full.reshape(encode(x).numel(), x.numel())


def test_the_margin_is_the_distance_to_the_cells_nearest_wall() -> None:
    torch.manual_seed(0)
    vectors = torch.randn(10, 3, dtype=torch.float64)
    z = torch.randn(1, 3, 5, 4, dtype=torch.float64)
    found = margins(z, vectors)[0]
    for row in range(5):
        for column in range(4):
            e, m = z[0, :, row, column], found[row, column]
            code = nearest_code(e, vectors)
            steps = nn.functional.normalize(torch.randn(500, 3, dtype=torch.float64), dim=-1)
            walls = nn.functional.normalize(vectors - vectors[code], dim=-1)[torch.arange(10) != code]
            directions = torch.cat([steps, walls])
            assert (nearest_code(e + 0.999 * m * directions, vectors) == code).all()
            assert (nearest_code(e + 1.001 * m * directions, vectors) != code).any()


def test_equal_codes_are_no_neighbours() -> None:
    vectors = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    assert margins(torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1), vectors).item() == pytest.approx(1.0)
    assert margins(torch.zeros(1, 2, 1, 1), vectors[:2]).item() == math.inf


@pytest.mark.parametrize("config", [SMALL, PLAIN, FLAT], ids=["small", "plain", "flat"])
def test_power_iteration_finds_the_norm_of_the_jacobian(config: SOVQAEConfig) -> None:
    net = sovqae(config)
    encode, _ = exact_encoder(net, torch.float64)
    x = frames(2, config.image_size, dtype=torch.float64)[..., :16, :16]
    found = local_lipschitz(encode, x, iterations=150)
    for n in range(2):
        exact = torch.linalg.matrix_norm(jacobian(encode, x[n : n + 1]), 2)
        assert found[n].item() == pytest.approx(exact.item(), rel=0.01)
    assert (local_lipschitz(encode, x, iterations=3) <= found + 1e-12).all()


def test_a_host_may_be_in_inference_mode() -> None:
    """In which some versions of torch find no derivatives, and say nothing."""
    net, x = sovqae(SMALL), frames(1, SMALL.image_size, dtype=torch.float64)
    wanted = [function(exact_encoder(net, torch.float64)[0], x) for function in (local_lipschitz, noise_gain)]
    with torch.inference_mode():
        made = sovqae(SMALL)
        found = [
            function(exact_encoder(made, torch.float64)[0], x.clone()) for function in (local_lipschitz, noise_gain)
        ]
    for a, b in zip(found, wanted, strict=True):
        assert a.min() > 0
        assert torch.allclose(a, b)


def test_segments_take_the_largest(flat: SOVQAE) -> None:
    x = frames(2, 16, dtype=torch.float64)
    noise = 0.3 * torch.randn_like(x)
    ends = [local_lipschitz(flat.encode, place) for place in (x, x + noise)]
    assert (segment_lipschitz(flat.encode, x, noise) >= torch.maximum(*ends)).all()
    with pytest.raises(InputError):
        segment_lipschitz(flat.encode, x, noise, points=1)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.Conv2d(3, 4, 3, stride=2),
        nn.Conv2d(3, 5, 4, stride=2, padding=1),
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 2, 1)),
        nn.Sequential(nn.PixelUnshuffle(2), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(12, 3, 3)),
        ResBlock(3, 4, False, nn),
        ResBlock(3, 3, False, nn),
        Whitening(3).eval(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_the_bound_that_holds_everywhere_is_above_every_jacobian(layer: nn.Module) -> None:
    torch.manual_seed(0)
    layer = layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    if isinstance(layer, Whitening):
        layer.covariance.copy_(torch.diag(torch.tensor([4.0, 1.0, 0.25])))
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    norm = torch.linalg.matrix_norm(jacobian(layer, x), 2).item()
    assert norm <= spectral_bound(layer) <= 20 * norm


def test_no_code_changes_below_the_proven_bound(flat: SOVQAE) -> None:
    """The worst directions that are known: the encoder's steepest ones, and random ones."""
    x = frames(2, 16, dtype=torch.float64)
    certificate = certify(flat, x, proof=True)
    assert certificate.kind == "global"
    assert certificate.lipschitz[0].item() == pytest.approx(global_lipschitz(flat))
    start = flat.codes(x)
    generator = torch.Generator().manual_seed(0)
    steepest = torch.cat([torch.linalg.svd(jacobian(flat.encode, x[n : n + 1]))[2][:1] for n in range(2)])
    directions = [steepest.reshape(x.shape), -steepest.reshape(x.shape)]
    directions += [torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(20)]
    for direction in directions:
        unit = direction / direction.flatten(1).norm(dim=1)[:, None, None, None]
        for share in (0.05, 0.3, 0.7, 1.0):
            size = certificate.bounds.flatten(1).quantile(share, dim=1) * 0.9999
            changed = flat.codes(x + size[:, None, None, None] * unit) != start
            assert not (changed & (certificate.bounds > size[:, None, None])).any()


def test_local_bounds_order_what_breaks_first() -> None:
    """No proof, but the first order of it: walls along the steepest way are met near the local bound, not before."""
    net = sovqae(FLAT).double()
    x = frames(1, 16, dtype=torch.float64)
    bounds = certify(net, x, iterations=100).bounds
    steepest = torch.linalg.svd(jacobian(net.encode, x))[2][:1].reshape(x.shape)
    sizes = torch.logspace(-4, 1, 200, dtype=x.dtype)
    first = break_points(net, x, steepest, sizes)
    broken = first < math.inf
    assert broken.any()
    assert (first[broken] > 0.95 * bounds[broken]).all()


def test_the_gain_is_what_noise_moves(flat: SOVQAE) -> None:
    x = frames(1, 16, dtype=torch.float64)
    full = torch.autograd.functional.jacobian(flat.encode, x)[0, :, :, :, 0]
    exact = full.square().sum((0, 3, 4, 5)).sqrt()
    found = noise_gain(flat.encode, x, probes=400)[0]
    assert torch.allclose(found, exact, rtol=0.1)
    whole = torch.linalg.matrix_norm(jacobian(flat.encode, x), 2)
    worst = torch.stack(
        [torch.linalg.matrix_norm(p.flatten(1), 2) for p in full.permute(1, 2, 0, 3, 4, 5).flatten(0, 1)]
    )
    assert (worst <= exact.flatten() + 1e-9).all()
    assert (worst <= whole + 1e-9).all()


@pytest.mark.parametrize("config", [SMALL, FLAT], ids=["small", "flat"])
def test_what_noise_is_likely_to_leave_is_near_what_it_leaves(config: SOVQAEConfig) -> None:
    net = sovqae(config).double()
    x = frames(4, config.image_size, dtype=torch.float64)
    gain, found = noise_gain(net.encode, x), certify(net, x, iterations=1)
    generator = torch.Generator().manual_seed(1)
    for sigma in (0.02, 0.1):
        expected = likely_survival(found.margins, gain, sigma, config.codebook.dim - config.codebook.sphere).mean()
        noise = [sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(10)]
        seen = torch.stack([same_codes(net, x, x + n).double().mean() for n in noise]).mean()
        assert seen.item() == pytest.approx(expected.item(), abs=0.1)
        assert seen < 0.995


def test_the_share_that_survives() -> None:
    certificate = Certificate(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]] * 2), torch.tensor([1.0, 2.0]), "global")
    assert certificate.surviving(1.5).tolist() == [0.75, 0.25]
    assert certificate.surviving(torch.tensor([0.0, 1.75])).tolist() == [1.0, 0.25]


def test_certificates_do_not_depend_on_the_models_dtype() -> None:
    net = sovqae(SMALL)
    x = frames(2)
    half = certify(sovqae(SMALL).to(torch.bfloat16), x)
    assert half.margins.dtype == torch.float32
    assert half.lipschitz == pytest.approx(certify(net, x).lipschitz, rel=0.05)


def test_same_codes_and_noise_of_one_size() -> None:
    net = sovqae(SMALL)
    x = frames(3)
    assert same_codes(net, x, x).all()
    kept = {}
    for name, noise in kinds_of_noise(x, 0.5):
        assert noise.flatten(1).norm(dim=1) == pytest.approx([0.5 * math.sqrt(3 * 32 * 32)] * 3)
        kept[name] = same_codes(net, x, x + noise).float().mean().item()
    assert kept["white"] < 1
    assert kept["coarse"] < 1
    assert kept["darker"] == 1


def test_what_has_no_constant_is_refused() -> None:
    with pytest.raises(InputError, match="sphere"):
        certify(sovqae(SMALL), frames(1), proof=True)
    with pytest.raises(InputError, match="local"):
        certify(sovqae(PLAIN), frames(1), proof=True)
