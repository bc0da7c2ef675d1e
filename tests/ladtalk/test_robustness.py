"""Margins, Lipschitz constants and certificates: below the bound no code changes."""

import math

import pytest
import torch
from torch import Tensor, nn

from talkface_core.ladtalk.robustness import (
    Certificate,
    certify,
    exact_encoder,
    likely_survival,
    local_lipschitz,
    margins,
    noise_gain,
    same_codes,
)
from talkface_core.ladtalk.sovqae import SOVQAE, SOVQAEConfig
from talkface_core.quantisation.quantiser import nearest_code
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
"""The plainest net: no sphere, no normalisation, no attention."""


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
    z = torch.randn(1, 5, 4, 3, dtype=torch.float64)
    distances = margins(z, vectors)[0]
    for row in range(5):
        for column in range(4):
            e, m = z[0, row, column], distances[row, column]
            code = nearest_code(e, vectors)
            steps = nn.functional.normalize(torch.randn(500, 3, dtype=torch.float64), dim=-1)
            walls = nn.functional.normalize(vectors - vectors[code], dim=-1)[torch.arange(10) != code]
            directions = torch.cat([steps, walls])
            assert (nearest_code(e + 0.999 * m * directions, vectors) == code).all()
            assert (nearest_code(e + 1.001 * m * directions, vectors) != code).any()


def test_equal_codes_are_no_neighbours() -> None:
    vectors = torch.tensor([[0.0, 0.0], [0.0, 0.0], [4.0, 0.0]])
    assert margins(torch.tensor([[1.0, 0.0]]), vectors).item() == pytest.approx(1.0)
    assert margins(torch.zeros(1, 2), vectors[:2]).item() == math.inf


@pytest.mark.parametrize("config", [SMALL, PLAIN, FLAT], ids=["small", "plain", "flat"])
def test_power_iteration_finds_the_norm_of_the_jacobian(config: SOVQAEConfig) -> None:
    net = sovqae(config)
    encode, _ = exact_encoder(net, torch.float64)
    x = frames(2, config.image_size, dtype=torch.float64)[..., :16, :16]
    constants = local_lipschitz(encode, x, iterations=150)
    for n in range(2):
        exact = torch.linalg.matrix_norm(jacobian(encode, x[n : n + 1]), 2)
        assert constants[n].item() == pytest.approx(exact.item(), rel=0.01)
    assert (local_lipschitz(encode, x, iterations=3) <= constants + 1e-12).all()


def test_a_host_may_be_in_inference_mode() -> None:
    """In which some versions of torch find no derivatives, and say nothing."""
    net, x = sovqae(SMALL), frames(1, SMALL.image_size, dtype=torch.float64)
    wanted = [function(exact_encoder(net, torch.float64)[0], x) for function in (local_lipschitz, noise_gain)]
    with torch.inference_mode():
        model = sovqae(SMALL)
        values = [
            function(exact_encoder(model, torch.float64)[0], x.clone()) for function in (local_lipschitz, noise_gain)
        ]
    for a, b in zip(values, wanted, strict=True):
        assert a.min() > 0
        assert torch.allclose(a, b)


def test_local_bounds_order_what_breaks_first() -> None:
    """No proof, but the first order of it: walls along the steepest way are met near the local bound, not before."""
    net = sovqae(FLAT).double()
    x = frames(1, 16, dtype=torch.float64)
    bounds = certify(net, x, iterations=100).bounds
    steepest = torch.linalg.svd(jacobian(net.encode, x))[2][:1].reshape(x.shape)
    sizes = torch.logspace(-4, 1, 200, dtype=x.dtype)
    first = torch.full(bounds.shape, math.inf, dtype=x.dtype)
    for size in sizes:
        first = torch.where(first.isinf() & ~same_codes(net, x, x + size * steepest), size, first)
    broken = first < math.inf
    assert broken.any()
    assert (first[broken] > 0.95 * bounds[broken]).all()


def test_the_gain_is_what_noise_moves(flat: SOVQAE) -> None:
    x = frames(1, 16, dtype=torch.float64)
    full = torch.autograd.functional.jacobian(flat.encode, x)[0, :, :, :, 0]
    exact = full.square().sum((2, 3, 4, 5)).sqrt()
    gain = noise_gain(flat.encode, x, probes=400)[0]
    assert torch.allclose(gain, exact, rtol=0.1)
    whole = torch.linalg.matrix_norm(jacobian(flat.encode, x), 2)
    worst = torch.stack([torch.linalg.matrix_norm(p.flatten(1), 2) for p in full.flatten(0, 1)])
    assert (worst <= exact.flatten() + 1e-9).all()
    assert (worst <= whole + 1e-9).all()


@pytest.mark.parametrize("config", [SMALL, FLAT], ids=["small", "flat"])
def test_what_noise_is_likely_to_leave_is_near_what_it_leaves(config: SOVQAEConfig) -> None:
    net = sovqae(config).double()
    x = frames(4, config.image_size, dtype=torch.float64)
    gain, certificate = noise_gain(net.encode, x), certify(net, x, iterations=1)
    generator = torch.Generator().manual_seed(1)
    for sigma in (0.02, 0.1):
        expected = likely_survival(
            certificate.margins, gain, sigma, config.codebook.dim - config.codebook.sphere
        ).mean()
        noise = [sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(10)]
        measured = torch.stack([same_codes(net, x, x + n).double().mean() for n in noise]).mean()
        assert measured.item() == pytest.approx(expected.item(), abs=0.1)
        assert measured < 0.995


def test_the_share_that_survives() -> None:
    certificate = Certificate(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]] * 2), torch.tensor([1.0, 2.0]))
    assert certificate.surviving(1.5).tolist() == [0.75, 0.25]
    assert certificate.surviving(torch.tensor([0.0, 1.75])).tolist() == [1.0, 0.25]


def test_certificates_do_not_depend_on_the_models_dtype() -> None:
    net = sovqae(SMALL)
    x = frames(2)
    half = certify(sovqae(SMALL).to(torch.bfloat16), x)
    assert half.margins.dtype == torch.float32
    assert half.lipschitz == pytest.approx(certify(net, x).lipschitz, rel=0.05)


def test_the_same_codes() -> None:
    net = sovqae(SMALL)
    x = frames(3)
    assert same_codes(net, x, x).all()
    generator = torch.Generator().manual_seed(0)
    assert same_codes(net, x, x + 0.5 * torch.randn(x.shape, generator=generator)).float().mean() < 1
    assert same_codes(net, x, x - 0.2).all(), "light is no detail"
