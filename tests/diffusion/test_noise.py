"""Noise: drawn on the CPU, named by its seed, shared by the frames of a video."""

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.diffusion.sampling import denoiser, noise, sample_ddim, seeded, shared_noise
from talkface_core.diffusion.schedules import Schedule, timesteps
from talkface_core.errors import InputError

SHAPE = (3, 4, 4)
COSINE = Schedule("cosine")
MODEL = denoiser(lambda x, t: torch.tanh(x), "v", COSINE)


def ancestral(x_T: Tensor, seed: int, share_noise: bool = False) -> Tensor:
    return sample_ddim(MODEL, x_T, COSINE, timesteps(COSINE, 5), 1.0, seeded(seed), share_noise=share_noise)


def test_a_seed_names_one_noise():
    assert torch.equal(noise((3, 5), 7), noise((3, 5), seeded(7)))
    assert torch.equal(noise((3, 5), 2**64 - 1), noise((3, 5), np.uint64(2**64 - 1)))
    assert (noise((3, 5), 7) - noise((3, 5), 8)).abs().max() > 0.1
    assert noise((3, 5), 7).dtype == torch.float32


def test_a_generator_moves_on():
    generator = seeded(7)
    assert (noise((3, 5), generator) - noise((3, 5), generator)).abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_dtype_gets_the_same_draw(dtype):
    assert torch.equal(noise((40,), 7, dtype=dtype), noise((40,), 7).to(dtype))


def test_noise_is_standard_normal():
    drawn = noise((100, 100), 0)
    assert drawn.mean().item() == pytest.approx(0, abs=0.04)
    assert drawn.std().item() == pytest.approx(1, abs=0.03)


def test_shared_noise_is_one_frame_seen_n_times():
    frames = shared_noise((3, 4, 6), 11, 500)
    assert frames.shape == (500, 3, 4, 6)
    assert torch.equal(frames[0], frames[499])
    assert torch.equal(frames[0], noise((3, 4, 6), 11))
    assert frames.untyped_storage().nbytes() == 3 * 4 * 6 * 4


@pytest.mark.parametrize("seed", [1.5, "1", None, True, 2**64, -(2**63) - 1])
def test_impossible_seeds_are_refused(seed):
    with pytest.raises(InputError, match=r"whole number below 2\*\*64"):
        noise((2,), seed)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    ancestral(noise((2, *SHAPE), 1), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_seeds_agree_across_devices():
    assert torch.equal(noise((3, 64), 7, "cuda").cpu(), noise((3, 64), 7))
    x_T = noise((2, *SHAPE), 1)
    torch.testing.assert_close(ancestral(x_T.cuda(), 8).cpu(), ancestral(x_T, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_generator_on_the_device_is_refused():
    with pytest.raises(InputError, match="lives on cuda"):
        noise((3,), torch.Generator("cuda"))


def test_stochastic_sampling_repeats_with_its_seed():
    x_T = noise((2, *SHAPE), 1)
    assert torch.equal(ancestral(x_T, 8), ancestral(x_T, 8))
    assert (ancestral(x_T, 8) - ancestral(x_T, 9)).abs().max() > 0.1


def test_shared_fresh_noise_keeps_equal_frames_equal():
    """Also when the frames come in windows, each with the same seed."""
    x_T = shared_noise(SHAPE, 3, 4)
    frames, window = ancestral(x_T, 8, share_noise=True), ancestral(x_T[:1], 8, share_noise=True)
    torch.testing.assert_close(frames, window.expand_as(frames))
    separate = ancestral(x_T, 8)
    assert (separate[0] - separate[1]).abs().max() > 0.1
