"""The repulsion of the codebook's vectors."""

import pytest
import torch

from talkface_core.ladtalk.sovqae_losses import codebook_repulsion


def test_spread_is_the_mean_over_used_pairs() -> None:
    vectors = torch.tensor([[0.0, 0.0], [0.3, 0.0], [0.0, 2.0], [0.1, 0.0]])
    used = torch.tensor([True, True, True, False])
    assert codebook_repulsion(vectors, used, 0.5).item() == pytest.approx(0.2**2 / 3)
    assert codebook_repulsion(vectors, torch.ones(4, dtype=torch.bool), 0.5).item() == pytest.approx(
        (0.2**2 + 0.4**2 + 0.3**2) / 6, rel=1e-4
    )
    assert codebook_repulsion(vectors, torch.zeros(4, dtype=torch.bool), 0.5).item() == 0


def test_spread_pushes_codes_apart() -> None:
    torch.manual_seed(0)
    vectors = (0.01 * torch.randn(6, 3)).requires_grad_()
    used = torch.ones(6, dtype=torch.bool)
    optimiser = torch.optim.Adam([vectors], 0.02)
    for _ in range(100):
        optimiser.zero_grad()
        codebook_repulsion(vectors, used, 0.5).backward()
        optimiser.step()
    assert torch.pdist(vectors.detach()).min() > 0.45
