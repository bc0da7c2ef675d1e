"""The codebook: nearest codes, straight-through gradients, two ways to follow the encodings, revival, perplexity."""

import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.quantisation.quantiser import CodebookConfig, Quantiser, nearest_code, perplexity


def quantiser(**settings: object) -> Quantiser:
    torch.manual_seed(0)
    return Quantiser(CodebookConfig(**{"codes": 16, "dim": 3, **settings}))


def clusters(centres: Tensor, count: int = 64, spread: float = 0.01, seed: int = 0) -> Tensor:
    """Encodings [count * centres, D] around centres [N, D]."""
    generator = torch.Generator().manual_seed(seed)
    points = centres.repeat(count, 1)
    return points + spread * torch.randn(points.shape, generator=generator)


def nearest_distance(vectors: Tensor, z: Tensor) -> Tensor:
    """How far each code [N, D] is from the nearest encoding of [..., D]."""
    return (vectors[:, None] - z.flatten(0, -2)[None]).norm(dim=-1).amin(1)


def test_the_nearest_code_is_the_nearest() -> None:
    torch.manual_seed(0)
    z, vectors = torch.randn(5, 7, 3), torch.randn(16, 3)
    brute = ((z[:, :, None] - vectors) ** 2).sum(-1).argmin(-1)
    assert torch.equal(nearest_code(z, vectors), brute)


def test_quantised_encodings_are_codes_and_the_gradient_goes_straight_through() -> None:
    net = quantiser().train()
    z = torch.randn(2, 4, 5, 3, requires_grad=True)
    out = net(z)
    assert torch.allclose(out.z_q, net.lookup(out.codes), atol=1e-6)
    weights = torch.randn_like(z)
    (out.z_q * weights).sum().backward()
    assert torch.allclose(z.grad, weights)
    assert net.embedding.grad is None


def test_each_loss_moves_its_own_side() -> None:
    net = quantiser().train()
    z = torch.randn(1, 4, 4, 3, requires_grad=True)
    out = net(z).losses
    assert out.codebook.item() == pytest.approx(out.commitment.item())
    out.codebook.backward(retain_graph=True)
    assert z.grad is None
    assert net.embedding.grad.any()
    net.embedding.grad = None
    out.commitment.backward()
    assert z.grad.any()
    assert net.embedding.grad is None


@pytest.mark.parametrize("update", ["gradient", "ema"])
@pytest.mark.parametrize("sphere", [False, True])
def test_codes_move_to_where_encodings_are(update: str, sphere: bool) -> None:
    centres = torch.nn.functional.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    net = quantiser(codes=64, update=update, decay=0.9, sphere=sphere).train()
    optimiser = torch.optim.Adam(net.parameters(), 1e-2) if update == "gradient" else None
    net(clusters(centres))
    drift = 0.3 * centres.roll(1, 0)
    for step in range(60):
        moved = centres + drift * min(1.0, step / 40)
        out = net(clusters(moved, seed=step)).losses
        if optimiser:
            optimiser.zero_grad()
            out.codebook.backward()
            optimiser.step()
    goal = torch.nn.functional.normalize(moved, dim=-1) if sphere else moved
    assert torch.cdist(goal, net.vectors).amin(1).max() < 0.05
    assert out.commitment.sqrt() < 0.02


def test_ema_is_the_average_of_what_chose_the_code() -> None:
    net = quantiser(codes=2, update="ema", decay=0.5).train()
    net.embedding.copy_(torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]]))
    net.total.copy_(net.embedding)
    net.usage.fill_(1.0)
    z = torch.tensor([[3.0, 0, 0], [3.0, 0, 0], [-1.0, 0, 0], [-1.0, 0, 0]])
    net(z)
    assert torch.allclose(net.vectors[0], torch.tensor([2.0, 0, 0]))
    assert torch.allclose(net.vectors[1], torch.tensor([-1.0, 0, 0]))


@pytest.mark.parametrize("update", ["gradient", "ema"])
def test_dead_codes_are_revived_among_the_encodings(update: str) -> None:
    net = quantiser(update=update, decay=0.9, revive_below=0.05).train()
    with torch.no_grad():
        net.embedding.fill_(100.0)
        net.embedding[0] = 0.0
        net.usage.fill_(1.0)
    z = torch.randn(1, 16, 16, 3)
    used = [net(z).codes.unique().numel() for _ in range(40)]
    assert used[0] == 1
    assert used[-1] > 10
    assert nearest_distance(net.vectors, z).max() < 1.0


def test_a_new_codebook_is_set_up_by_its_first_batch_and_evaluation_changes_nothing() -> None:
    net = quantiser(revive_below=0.0).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    z = torch.randn(1, 8, 8, 3) * 5 + 3
    assert net(z).losses is None
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.train()(z)
    assert nearest_distance(net.vectors, z).max() < 1e-5


def test_on_the_sphere_gain_does_not_matter() -> None:
    net = quantiser(sphere=True).eval()
    z = torch.randn(2, 4, 4, 3)
    assert torch.allclose(net.vectors.norm(dim=-1), torch.ones(16))
    assert torch.equal(net(z).codes, net(100 * z).codes)


def test_whitened_encodings_cannot_fall_together() -> None:
    torch.manual_seed(0)
    net = quantiser(whiten=True, dim=4).train()
    mixed = torch.einsum("de,bne->bnd", torch.randn(4, 4), torch.randn(4, 256, 4)) + 5
    for _ in range(200):
        z = net(mixed).z.flatten(0, -2)
    assert torch.allclose(z.mean(0), torch.zeros(4), atol=1e-3)
    assert torch.allclose(z.T @ z / len(z), torch.eye(4), atol=0.05)
    assert torch.allclose(net.eval()(mixed).z, z.view(4, 256, 4), atol=0.01)


def test_arithmetic_is_exact_under_autocast() -> None:
    net = quantiser().eval()
    z = torch.randn(2, 16, 16, 3)
    with torch.autocast("cpu", torch.bfloat16):
        codes = net(z).codes
    assert torch.equal(codes, net(z).codes)
    assert net(z.bfloat16()).z_q.dtype == torch.bfloat16


def test_perplexity() -> None:
    assert perplexity(torch.tensor([5.0, 0, 0, 0])).item() == pytest.approx(1)
    assert perplexity(torch.tensor([5.0, 5, 5, 5])).item() == pytest.approx(4)


@pytest.mark.parametrize(
    "settings", [{"update": "kmeans"}, {"codes": 1}, {"dim": 0}, {"decay": 1.0}, {"revive_below": -0.1}]
)
def test_settings_that_make_no_codebook(settings: dict) -> None:
    with pytest.raises(InputError):
        CodebookConfig(**settings)
