"""What every sampler promises apart from accuracy: its arguments, its callback, its precision, its refusals."""

import math

import pytest
import torch
from torch import Tensor

from talkface_core.diffusion.parameterisation import KINDS
from talkface_core.diffusion.sampling import SAMPLERS, denoiser, get_sampler, invert_ddim, noise, sample_ddim, seeded
from talkface_core.diffusion.schedules import Schedule, timesteps
from talkface_core.errors import InputError

SHAPE = (1, 2, 2)
COSINE = Schedule("cosine")
EACH_SAMPLER = pytest.mark.parametrize("name", SAMPLERS)


def net(x: Tensor, t: Tensor) -> Tensor:
    """Some smooth prediction that depends on both the picture and the time."""
    return torch.tanh(x + t.reshape(-1, 1, 1, 1) / 1000)


MODEL = denoiser(net, "v", COSINE)


def start(n: int = 5) -> Tensor:
    return noise((n, *SHAPE), 0, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["v", "x0"])
@EACH_SAMPLER
def test_networks_start_from_pure_noise(name, kind):
    schedule = Schedule("linear", zero_terminal_snr=True)
    image = SAMPLERS[name](denoiser(lambda x, t: 0.5 * x, kind, schedule), start(), schedule, timesteps(schedule, 4))
    assert torch.isfinite(image).all()
    assert image.abs().max() > 0.01


def test_eps_does_not_fit_zero_terminal_snr():
    with pytest.raises(InputError, match=r"eps.*zero_terminal_snr.*use v or x0"):
        denoiser(lambda x, t: x, "eps", Schedule("linear", zero_terminal_snr=True))


def test_unknown_prediction_lists_the_choices():
    with pytest.raises(InputError, match=r"'noise'.*eps, v, x0"):
        denoiser(lambda x, t: x, "noise", COSINE)


@pytest.mark.parametrize("kind", KINDS)
def test_clipping_keeps_image_and_noise_consistent(kind):
    denoise = denoiser(lambda x, t: 3 * x, kind, COSINE, clip=1.0)
    x_t = start()
    for t in (0, 400, 900):
        x0, eps = denoise(x_t, t)
        alpha, sigma = COSINE.alpha_sigma(t)
        assert x0.abs().max() <= 1
        torch.testing.assert_close(alpha * x0 + sigma * eps, x_t)
    assert (x0.abs() == 1).any()


@pytest.mark.parametrize("clip", [0, -1.0, math.nan])
def test_clip_must_be_positive(clip):
    with pytest.raises(InputError, match="clip"):
        denoiser(lambda x, t: x, "v", COSINE, clip=clip)


@EACH_SAMPLER
def test_half_precision_networks_have_a_float32_state(name):
    fed = []

    def net(x: Tensor, t: Tensor) -> Tensor:
        fed.append(x.dtype)
        return 0.5 * x

    model = denoiser(net, "v", COSINE, dtype=torch.bfloat16)
    image = SAMPLERS[name](model, start().bfloat16(), COSINE, timesteps(COSINE, 3))
    assert image.dtype == torch.float32
    assert fed == [torch.bfloat16] * 3


@EACH_SAMPLER
def test_samplers_keep_no_graph_and_leave_the_noise_alone(name):
    weight = torch.nn.Parameter(torch.ones(()))
    x_T = start()
    image = SAMPLERS[name](denoiser(lambda x, t: weight * x, "v", COSINE), x_T, COSINE, timesteps(COSINE, 3))
    assert not image.requires_grad
    assert torch.equal(x_T, start())


@pytest.mark.parametrize("walk", [*SAMPLERS.values(), invert_ddim])
def test_callback_sees_every_step_and_its_image(walk):
    predictions, calls = [], []

    def model(x: Tensor, t: int) -> tuple[Tensor, Tensor]:
        predictions.append(MODEL(x, t))
        return predictions[-1]

    walk(model, start(), COSINE, timesteps(COSINE, 7), callback=lambda *args: calls.append(args))
    assert [(i, total) for i, total, _ in calls] == [(i, 7) for i in range(7)]
    assert all(x0 is image for (x0, _), (_, _, image) in zip(predictions, calls, strict=True))


@pytest.mark.parametrize("walk", [*SAMPLERS.values(), invert_ddim])
@pytest.mark.parametrize("ts", [[], [100, 200], [200, 200], [1000, 5], [5, -1]])
def test_impossible_steps_are_refused(walk, ts):
    with pytest.raises(InputError, match=r"fall strictly within 999 \.\. 0"):
        walk(MODEL, start(), COSINE, ts)


@pytest.mark.parametrize("eta", [-0.1, 1.5, math.nan])
def test_impossible_eta_is_refused(eta):
    with pytest.raises(InputError, match="eta must lie between 0"):
        sample_ddim(MODEL, start(), COSINE, [5], eta=eta, generator=seeded(0))


def test_eta_needs_a_generator():
    with pytest.raises(InputError, match="pass a generator"):
        sample_ddim(MODEL, start(), COSINE, [5], eta=0.5)


def test_unknown_sampler_lists_the_choices():
    assert get_sampler("ddim") is sample_ddim
    with pytest.raises(InputError, match=r"'euler'.*ddim, dpmpp_2m"):
        get_sampler("euler")


@EACH_SAMPLER
def test_a_batch_gives_what_its_parts_give(name):
    ts = timesteps(COSINE, 6)
    whole = SAMPLERS[name](MODEL, start(5), COSINE, ts)
    parts = [SAMPLERS[name](MODEL, part, COSINE, ts) for part in start(5).split(2)]
    torch.testing.assert_close(whole, torch.cat(parts))
