"""Codebooks in a row: each level takes what the one before it left."""

from itertools import pairwise

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.quantisation.quantiser import CodebookConfig, nearest_code
from talkface_core.quantisation.residual import ResidualVectorQuantizer


def quantizer(levels: int = 3, **settings: object) -> ResidualVectorQuantizer:
    torch.manual_seed(0)
    return ResidualVectorQuantizer(CodebookConfig(**{"codes": 16, "dim": 3, **settings}), levels)


def test_each_level_takes_the_nearest_code_of_what_is_left() -> None:
    net = quantizer().eval()
    z = torch.randn(2, 7, 3)
    out, left = net(z), z
    for number, level in enumerate(net.levels):
        code = nearest_code(left, level.vectors)
        assert torch.equal(out.codes[..., number], code)
        left = left - level.vectors[code]
    assert out.codes.shape == (2, 7, 3)
    torch.testing.assert_close(out.z_q, z - left)
    torch.testing.assert_close(net.lookup(out.codes), z - left)
    torch.testing.assert_close(net.lookup(out.codes[..., :1]), net.levels[0].lookup(out.codes[..., 0]))
    assert out.losses is None


@pytest.mark.parametrize("update", ["gradient", "ema"])
def test_more_levels_are_closer(update: str) -> None:
    net = quantizer(4, update=update, decay=0.8).train()
    z = torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2) if update == "gradient" else None
    for _ in range(60):
        losses = net(z).losses
        if optimiser:
            optimiser.zero_grad()
            losses.codebook.backward()
            optimiser.step()
    codes = net.eval()(z).codes
    errors = [(net.lookup(codes[:, : n + 1]) - z).square().mean().item() for n in range(4)]
    assert errors[0] < 0.3
    assert all(after < 0.6 * before for before, after in pairwise(errors))


def test_gradients_go_straight_through_and_commitment_reaches_the_encodings() -> None:
    net = quantizer().train()
    net(torch.randn(50, 3))
    z = torch.randn(5, 3, requires_grad=True)
    weights = torch.randn(5, 3)
    out = net(z)
    (out.z_q * weights).sum().backward(retain_graph=True)
    torch.testing.assert_close(z.grad, weights)
    assert all(level.embedding.grad is None for level in net.levels)
    z.grad = None
    out.losses.commitment.backward()
    assert z.grad.any()


@pytest.mark.parametrize(("levels", "settings"), [(0, {}), (2, {"sphere": True}), (2, {"whiten": True})])
def test_what_leaves_no_residual_is_refused(levels: int, settings: dict) -> None:
    with pytest.raises(InputError, match="levels"):
        quantizer(levels, **settings)
