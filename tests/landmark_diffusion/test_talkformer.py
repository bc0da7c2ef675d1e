"""TalkFormer: zero at first, differentiable in every landmark, and a point moves the picture where it lies."""

import torch

from talkface_core.landmark_diffusion.denoiser import DenoiserConfig, LandmarkDenoiser, inpainted, lower_mask
from talkface_core.landmark_diffusion.talkformer import FEATURES, MotionAlign, TalkFormer, fourier
from tests.landmark_diffusion.small_painter import SMALL, small_painter


def told(net: LandmarkDenoiser, landmarks: torch.Tensor, seed: int = 0):
    drawn = torch.Generator().manual_seed(seed)
    latents, theirs = torch.randn(2, 4, 8, 8, generator=drawn), torch.rand(1, 2, 68, 2, generator=drawn)
    found = net.keys_values(latents, theirs[0])
    joined = tuple((k.flatten(0, 1)[None], v.flatten(0, 1)[None]) for k, v in found)
    return net.condition(landmarks, joined, theirs)


def test_an_untrained_talkformer_leaves_the_unet_as_it_is() -> None:
    torch.manual_seed(0)
    net = LandmarkDenoiser(SMALL).eval()
    torch.nn.init.normal_(net.unet.conv_out.weight)
    x, t, known = torch.randn(1, 4, 8, 8), torch.tensor([500]), torch.randn(1, 4, 8, 8)
    landmarks = torch.rand(1, 68, 2)
    torch.testing.assert_close(net(x, t, known, told(net, landmarks)), net(x, t, known, None))


def test_the_gradient_reaches_every_point() -> None:
    net = small_painter().talkformer
    landmarks = torch.rand(1, 68, 2, requires_grad=True)
    x, known = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8)
    net(x, torch.tensor([500]), known, told(net, landmarks)).square().sum().backward()
    assert landmarks.grad is not None
    assert (landmarks.grad.abs().sum(-1) > 0).all()


def test_a_point_that_moves_moves_the_map_where_it_lies() -> None:
    torch.manual_seed(0)
    align = MotionAlign(16, 16, 2)
    torch.nn.init.normal_(align.out[-1].weight)
    tokens = small_painter().talkformer.tokens
    points = 0.1 + 0.3 * torch.rand(1, 68, 2)
    moved = points.clone()
    points[0, 5], moved[0, 5] = torch.tensor([0.8, 0.8]), torch.tensor([0.8, 0.7])
    h = torch.randn(1, 16, 16, 16)
    with torch.no_grad():
        change = (align(h, tokens(points)) - align(h, tokens(moved))).norm(dim=1)[0]
    near, far = change[10:15, 10:15].mean(), change[:6, :6].mean()
    assert near > 5 * far


def test_references_answer_and_may_be_left_out() -> None:
    painter = small_painter()
    x, t, known, landmarks = torch.randn(1, 4, 8, 8), torch.tensor([999]), torch.randn(1, 4, 8, 8), torch.rand(1, 68, 2)
    net = painter.talkformer
    one, other = (net(x, t, known, told(net, landmarks, seed)) for seed in (0, 1))
    assert (one - other).abs().max() > 1e-4
    for left_out in ({"motion": False}, {"reference": False}):
        bare = LandmarkDenoiser(DenoiserConfig(**{**SMALL.__dict__, **left_out})).eval()
        bare.load_state_dict(net.state_dict())
        made = bare(x, t, known, told(bare, landmarks))
        assert made.shape == x.shape
        assert (made - one).abs().max() > 1e-4


def test_the_upper_half_is_known() -> None:
    x, known = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    assert inpainted(x, known)[..., :4, :].min() == 1
    assert inpainted(x, known)[..., 4:, :].max() == 0
    assert lower_mask(known).sum() == 32


def test_fourier_features_tell_places_apart() -> None:
    assert fourier(torch.rand(3, 2)).shape == (3, FEATURES)
    assert TalkFormer(0, 16, 1, 16, 2).index == 0


def test_sizes() -> None:
    tiny = LandmarkDenoiser(DenoiserConfig.preset("tiny"))
    assert 2.7e6 < sum(p.numel() for p in tiny.parameters()) < 2.9e6
    with torch.device("meta"):
        base = LandmarkDenoiser(DenoiserConfig.preset("base"))
    assert sum(p.numel() for p in base.parameters()) > 2e8
