"""Warps by landmarks: points find themselves, gradients reach the target, nothing moves where nothing moves."""

import pytest
import torch

from talkface_core.landmark_diffusion.warping import enlarged, landmark_flow, pixel_centres, shrunk, warp


def points(count: int = 12, seed: int = 0) -> torch.Tensor:
    return 0.2 + 0.6 * torch.rand(1, count, 2, generator=torch.Generator().manual_seed(seed))


def test_landmarks_that_stand_still_move_nothing() -> None:
    here = points()
    assert landmark_flow(here, here, 16).abs().max() == 0


def test_a_face_that_moves_as_a_whole_is_found_where_it_was() -> None:
    here = points()
    flow = landmark_flow(here + torch.tensor([0.1, -0.05]), here, 16)
    torch.testing.assert_close(flow, torch.tensor([-0.1, 0.05]).expand_as(flow))
    picture = torch.rand(1, 3, 16, 16)
    moved = warp(picture, torch.tensor([2 / 16, 0.0]).expand(1, 16, 16, 2))
    torch.testing.assert_close(moved[..., :14], picture[..., 2:])


def test_at_a_landmark_its_own_move_counts() -> None:
    here = points()
    there = here.clone()
    there[0, 3] += torch.tensor([0.0, 0.06])
    side = 64
    flow = landmark_flow(here, there, side)[0]
    x, y = (here[0, 3] * side).long().tolist()
    assert flow[y, x, 1] == pytest.approx(0.06, abs=0.015)
    far = (pixel_centres(side) - here[0, 3]).norm(dim=-1) > 0.4
    assert flow[far].abs().max() < 0.02


def test_the_gradient_reaches_every_landmark() -> None:
    here = points().requires_grad_()
    picture = torch.rand(1, 1, 32, 32)
    warp(picture, landmark_flow(here, points(seed=1), 32)).square().sum().backward()
    assert here.grad is not None
    assert (here.grad.abs().sum(-1) > 0).all()


def test_flows_of_other_sizes_say_the_same() -> None:
    flow = landmark_flow(points(), points() + 0.01, 8)
    assert shrunk(flow, 8) is flow
    torch.testing.assert_close(shrunk(flow, 4).mean((1, 2)), flow.mean((1, 2)))
    torch.testing.assert_close(enlarged(flow, 16).mean((1, 2)), flow.mean((1, 2)), atol=1e-3, rtol=0)


def test_texture_is_kept_between_pixels_by_the_cubic_kernel() -> None:
    stripes = torch.tensor([0.0, 0.0, 1.0, 1.0]).repeat(8).expand(1, 1, 32, 32)
    between = torch.tensor([0.5 / 32, 0.0]).expand(1, 32, 32, 2)
    linear, cubic = (warp(stripes, between, kernel)[..., 4:-4].std() for kernel in ("bilinear", "bicubic"))
    assert linear < 0.8 * stripes.std()
    assert cubic > 1.15 * linear


def test_half_precision_maps_in_any_order_stay_numbers() -> None:
    maps = torch.rand(16, 24, 64, 64).bfloat16().to(memory_format=torch.channels_last)
    moved = warp(maps, 0.02 * torch.randn(16, 64, 64, 2))
    assert moved.dtype == torch.bfloat16
    assert torch.isfinite(moved).all()


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_a_flow_that_is_not_a_number_is_told_instead_of_ending_the_process(kernel: str) -> None:
    """A training that diverges gets here before its loss is looked at."""
    picture, flow = torch.rand(1, 3, 16, 16, requires_grad=True), torch.zeros(1, 16, 16, 2)
    flow[0, 4, 5, 0], flow[0, 6, 7] = float("nan"), float("inf")
    flow.requires_grad_()
    found = warp(picture, flow, kernel)
    assert found[0, :, 4, 5].isnan().all()
    assert found.isnan().sum() == 3
    found.nan_to_num().sum().backward()
    assert picture.grad.isfinite().all()
