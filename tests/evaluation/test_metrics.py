"""Each metric against a value worked out by hand or given by numpy."""

import math

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.evaluation import metrics

PSNR, SSIM = [23.51338, 23.45715], [0.9727627, 0.9730803]
"""What scikit-image gives."""


def grey(*levels: float, size: int = 16) -> np.ndarray:
    """Even frames [T,size,size,3], one for each level (0..1)."""
    return np.stack([np.full((size, size, 3), level, np.float32) for level in levels])


def noise(frames: int = 4, size: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, size, size, 3), dtype=np.uint8)


def test_psnr_of_an_even_error_is_its_logarithm():
    values = metrics.psnr(grey(0.5, 0.5), grey(0.6, 0.51))
    assert values.tolist() == pytest.approx([20.0, 40.0], abs=1e-3)


def test_psnr_counts_uint8_and_float_frames_alike_and_is_infinite_for_equal_ones():
    a, b = noise(), noise(seed=1)
    assert torch.allclose(metrics.psnr(a, b), metrics.psnr(a / np.float32(255), torch.from_numpy(b)), atol=1e-4)
    assert metrics.psnr(a, a).isinf().all()


def test_ssim_of_even_frames_is_the_luminance_term_for_data_range_one():
    a, b, c1 = 0.2, 0.6, 0.01**2
    assert metrics.ssim(grey(a), grey(b)).item() == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), abs=1e-4)
    assert metrics.ssim(noise(), noise()).tolist() == pytest.approx([1.0] * 4, abs=1e-6)


def test_psnr_and_ssim_are_those_of_scikit_image():
    """Of scikit-image 0.26: gaussian_weights, sigma 1.5, use_sample_covariance False, data_range 255."""
    rng = np.random.default_rng(7)
    real = rng.integers(0, 256, (2, 40, 32, 3), dtype=np.uint8)
    made = np.clip(real.astype(int) + rng.integers(-30, 31, real.shape), 0, 255).astype(np.uint8)
    assert metrics.psnr(made, real).tolist() == pytest.approx(PSNR, abs=1e-4)
    assert metrics.ssim(made, real).tolist() == pytest.approx(SSIM, abs=1e-6)
    with pytest.raises(InputError, match="11 px"):
        metrics.ssim(made[:, :10], real[:, :10])


def test_picture_quality_in_chunks_is_the_mean_over_frames():
    a, b = noise(5), noise(5, seed=1)
    quality = metrics.PictureQuality()
    for part in (slice(0, 2), slice(2, 5)):
        quality.add(a[part], b[part])
    assert quality.psnr == pytest.approx(metrics.psnr(a, b).mean().item(), abs=1e-4)
    assert quality.ssim == pytest.approx(metrics.ssim(a, b).mean().item(), abs=1e-5)
    assert math.isnan(metrics.PictureQuality().psnr)


@pytest.mark.parametrize("wrong", [np.zeros((4, 8, 8)), np.zeros((4, 3, 8, 8)), np.zeros((4, 8, 8, 4))])
def test_anything_but_rgb_frames_is_refused(wrong):
    with pytest.raises(InputError, match=r"\[T, H, W, 3\]"):
        metrics.flicker(wrong)


def test_frames_of_two_lengths_are_refused():
    with pytest.raises(InputError, match="one size and length"):
        metrics.psnr(grey(0.1, 0.2), grey(0.1))


def test_open_share():
    opening = [0.0, metrics.OPEN, 0.05, 0.1]
    assert metrics.open_share(opening) == 0.5
    assert metrics.open_share(opening, [True, True, True, False]) == pytest.approx(1 / 3)
    assert metrics.open_share(opening, threshold=0.06) == 0.25
    assert math.isnan(metrics.open_share(opening, [False] * 4))


def half_moving(frames: int = 6, size: int = 16) -> np.ndarray:
    """Left half even, right half switching by ten levels from frame to frame."""
    clip = np.full((frames, size, size, 3), 100, np.uint8)
    clip[1::2, :, size // 2 :] = 110
    return clip


def test_still_mask_finds_what_stands_still_in_chunks_too():
    clip = half_moving()
    still = metrics.StillMask()
    still.add(clip[:2])
    still.add(clip[2:])
    assert still.deviation()[:, 8:].numpy() == pytest.approx(5.0, abs=1e-3)
    assert still.mask(2.0)[:, :8].all()
    assert not still.mask(2.0)[:, 8:].any()
    with pytest.raises(InputError, match="real frames"):
        metrics.StillMask().mask()


def test_flicker_is_the_mean_change_inside_the_mask():
    clip = half_moving()
    left = torch.zeros(16, 16, dtype=torch.bool)
    left[:, :8] = True
    assert metrics.flicker(clip) == pytest.approx(5.0, abs=1e-4)
    assert metrics.flicker(clip, left) == 0.0
    assert metrics.flicker(clip, ~left) == pytest.approx(10.0, abs=1e-4)
    meter = metrics.Flicker(~left)
    for part in (clip[:1], clip[1:4], clip[4:]):
        meter.add(part)
    assert meter.value == pytest.approx(10.0, abs=1e-4)
    assert math.isnan(metrics.Flicker().value)


@pytest.mark.parametrize("mask", [torch.zeros(16, 16, dtype=torch.bool), torch.ones(8, 8, dtype=torch.bool)])
def test_flicker_refuses_an_empty_mask_or_one_of_another_size(mask):
    with pytest.raises(InputError, match="mask"):
        metrics.flicker(half_moving(), mask)


def test_laplacian_variance_of_one_bright_pixel():
    frame = np.zeros((1, 7, 7, 3), np.float32)
    frame[0, 3, 3] = 1.0
    values = np.zeros(25)
    values[0], values[1:5] = -4 * 255, 255
    assert metrics.laplacian_variance(frame).item() == pytest.approx(values.var(), rel=1e-5)


@pytest.mark.parametrize(("cycles", "share"), [(0.1, 0.0), (0.2, 0.0), (0.3, 1.0), (0.45, 1.0)])
def test_high_band_share_of_a_grating_lies_on_its_side_of_half_nyquist(cycles, share):
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * cycles * np.arange(64))
    frames = np.broadcast_to(wave[None, None, :, None], (1, 64, 64, 3)).astype(np.float32)
    assert metrics.high_band_share(frames).item() == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("kind", metrics.SHARPNESS)
def test_a_blurred_picture_is_less_sharp(kind):
    sharp = noise(2) / np.float32(255)
    soft = (sharp + np.roll(sharp, 1, 1) + np.roll(sharp, 1, 2) + np.roll(sharp, (1, 1), (1, 2))) / 4
    assert metrics.sharpness_ratio(sharp, sharp, kind) == 1.0
    assert metrics.sharpness_ratio(soft, sharp, kind) < 0.5
    assert math.isnan(metrics.sharpness_ratio(sharp, grey(0.5, 0.5, size=24), kind))


@pytest.mark.parametrize(("cycles", "ring"), [(4 / 64, 2), (10 / 64, 5), (22 / 64, 11)])
def test_a_grating_lies_in_its_ring(cycles, ring):
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * cycles * np.arange(64))
    frames = np.broadcast_to(wave[None, :, None, None], (2, 64, 64, 3)).astype(np.float32)
    spectrum = metrics.radial_spectrum(frames, bins=16)
    assert spectrum.shape == (2, 16)
    assert spectrum[0].argmax() == ring
    assert torch.equal(spectrum[0], spectrum[1])


def test_fine_power_ratio_goes_by_contrast_and_not_by_what_is_coarse():
    generator = np.random.default_rng(0)
    fine = generator.standard_normal((2, 64, 64, 1)).repeat(3, -1) * 0.05
    coarse = 0.5 + 0.3 * np.sin(np.arange(64) / 10)[None, :, None, None]
    assert metrics.fine_power_ratio(coarse + fine, coarse + fine) == pytest.approx(1)
    assert metrics.fine_power_ratio(0.5 + 0.5 * fine, coarse + fine) == pytest.approx(0.25, rel=0.02)
    assert metrics.fine_power_ratio(coarse + 0 * fine, coarse + fine) < 1e-3
    assert math.isnan(metrics.fine_power_ratio(coarse + fine, np.full((2, 64, 64, 3), 0.5)))
