"""Decoding: shared noise keeps a still face still, windows change nothing, wrong shapes are refused."""

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange

from talkface_core.dae_talker.autoencoder import AutoencoderConfig, DiffusionAutoencoder
from talkface_core.dae_talker.decode import (
    decode,
    decode_memory,
    default_window,
    encode,
    fit_square,
    noise_from_image,
    noise_from_seed,
    sampling,
    to_frames,
)
from talkface_core.errors import InputError
from talkface_core.pixels import to_signed
from tests.dae_talker.small import LATENT, SIZE, small_autoencoder


@pytest.fixture(scope="module")
def model():
    return small_autoencoder()


def frames_of(model, latents, noise, **options) -> torch.Tensor:
    return torch.cat(list(decode(model, latents, noise, **options)))


def still(frames: int) -> torch.Tensor:
    """Latents of a face that holds still: equal but for a hundredth, as an encoder sees the grain of a camera."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, LATENT, generator=generator) + 0.01 * torch.randn(frames, LATENT, generator=generator)


def test_frames_have_the_right_shape_range_and_type(model):
    latents, noise = still(5), noise_from_seed(model, 0)
    chunks = list(decode(model, latents, noise, window=2))
    assert [tuple(c.shape) for c in chunks] == [(2, SIZE, SIZE, 3), (2, SIZE, SIZE, 3), (1, SIZE, SIZE, 3)]
    assert all(chunk.dtype == torch.uint8 and chunk.is_contiguous() for chunk in chunks)
    floats = frames_of(model, latents, noise, dtype=torch.float32)
    assert 0 <= floats.min() < floats.max() <= 1
    torch.testing.assert_close(floats * 255, torch.cat(chunks).float(), rtol=0, atol=0.51)


def test_shared_noise_flickers_several_times_less_than_independent_noise(model):
    latents = still(12)
    shared = frames_of(model, latents, noise_from_seed(model, 0), dtype=torch.float32)
    independent = torch.cat(
        [frames_of(model, z[None], noise_from_seed(model, seed), dtype=torch.float32) for seed, z in enumerate(latents)]
    )
    flicker, without = ((frames[1:] - frames[:-1]).abs().mean() for frames in (shared, independent))
    assert flicker > 0
    assert without > 5 * flicker


def test_neither_the_window_nor_the_chunks_change_a_frame(model):
    latents, noise = torch.randn(11, LATENT), noise_from_seed(model, 3)
    whole = frames_of(model, latents, noise, window=11, dtype=torch.float32)
    for window in (1, 4, 16):
        for pieces in ([11], [5, 6], [1, 9, 1], [0, 11]):
            chunks = list(decode(model, latents.split(pieces), noise, window=window, dtype=torch.float32))
            assert all(len(chunk) == window for chunk in chunks[:-1])
            soon = list(decode(model, latents.split(pieces), noise, window=window, dtype=torch.float32, first=2))
            assert len(soon[0]) == min(2, window)
            assert all(len(chunk) == window for chunk in soon[1:-1])
            torch.testing.assert_close(torch.cat(soon), torch.cat(chunks))
            torch.testing.assert_close(torch.cat(chunks), whole, rtol=0, atol=1e-5)


def test_several_workers_change_no_frame_and_no_order(model):
    latents, noise = torch.randn(37, LATENT), noise_from_seed(model, 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        one = list(decode(model, latents, noise, window=4))
        several = list(decode(model, latents.split(5), noise, window=4, workers=3))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert [len(chunk) for chunk in several] == [4] * 9 + [1]
    assert (torch.cat(several).int() - torch.cat(one).int()).abs().max() <= 1


def test_large_models_decode_fewer_frames_at_a_time(model):
    assert default_window(model) == 16
    with torch.device("meta"):
        tiny, base = (DiffusionAutoencoder(AutoencoderConfig.preset(preset)) for preset in ("tiny", "base"))
    assert default_window(tiny) == 16
    assert default_window(base) == 1


def test_a_seed_gives_the_same_noise_and_another_seed_another(model):
    one, same, other = (noise_from_seed(model, seed) for seed in (1, 1, 2))
    assert one.shape == (3, SIZE, SIZE)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_noise_inverted_from_a_picture_gives_the_picture_back(model):
    torch.manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 4, 4), SIZE, mode="bilinear")[0].permute(1, 2, 0)
    z = model.encode(rearrange(to_signed(picture), "h w c -> 1 c h w"))
    inverted = noise_from_image(model, picture, steps=50, standardise=False)

    def error(noise: torch.Tensor) -> float:
        frame = frames_of(model, z, noise, sampler="ddim", steps=50, dtype=torch.float32)[0]
        return (frame - picture).abs().mean().item()

    assert error(inverted) < 0.2 * error(noise_from_seed(model, 0))
    standard = noise_from_image(model, picture, steps=50)
    torch.testing.assert_close(standard, (inverted - inverted.mean()) / inverted.std())


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["gpu", "cpu"],
)
def test_out_of_memory_halves_the_work_and_goes_on(model, monkeypatch, caplog, error):
    latents, noise = torch.randn(13, LATENT), noise_from_seed(model, 0)
    whole = frames_of(model, latents, noise, dtype=torch.float32)
    denoiser = model.denoiser

    tried = []

    def scarce(z):
        tried.append(len(z))
        if len(z) > 4:
            raise error
        return denoiser(z)

    monkeypatch.setattr(model, "denoiser", scarce)
    chunks = list(decode(model, latents, noise, window=16, dtype=torch.float32))
    assert [len(chunk) for chunk in chunks] == [13]
    assert tried == [13, 6, 3, 3, 3, 3, 1]  # halved until it fits, and never more again
    assert "out of memory with 13 frames at a time: going on with 6" in caplog.text
    torch.testing.assert_close(torch.cat(chunks), whole, rtol=0, atol=1e-5)

    def none(z):
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(model, "denoiser", none)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        list(decode(model, latents, noise))


def test_the_callback_sees_every_step_of_every_window(model):
    calls = []
    latents, noise = torch.randn(5, LATENT), noise_from_seed(model, 0)
    frames_of(model, latents, noise, steps=2, window=3, callback=lambda i, n, x0: calls.append((i, n, len(x0))))
    assert calls == [(0, 2, 3), (1, 2, 3), (0, 2, 2), (1, 2, 2)]


def test_frames_are_encoded_chunk_by_chunk(model):
    frames = torch.randint(0, 256, (5, SIZE, SIZE, 3), dtype=torch.uint8)
    latents = list(encode(model, frames.split(2)))
    assert [tuple(z.shape) for z in latents] == [(2, LATENT), (2, LATENT), (1, LATENT)]
    wanted = model.encode(rearrange(frames.float() / 127.5 - 1, "n h w c -> n c h w"))
    torch.testing.assert_close(torch.cat(latents), wanted)
    torch.testing.assert_close(torch.cat(list(encode(model, [frames.float() / 255]))), wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "cannot take 0 sampling steps"),
        ({"steps": 10_000}, "choose 1 to 1000"),
        ({"sampler": "euler"}, "choose one of ddim, dpmpp_2m"),
        ({"window": 0}, "at least one frame"),
        ({"noise": torch.zeros(3, 8, 8)}, r"needs \[3, 16, 16\]"),
        ({"latents": torch.zeros(4, LATENT + 1)}, "belong to another model"),
        ({"latents": torch.zeros(LATENT)}, "belong to another model"),
    ],
)
def test_wrong_settings_are_refused(model, options, message):
    arguments = {"latents": torch.zeros(4, LATENT), "noise": noise_from_seed(model, 0), **options}
    with pytest.raises(InputError, match=message):
        list(decode(model, **arguments))
    if "latents" not in options:
        with pytest.raises(InputError, match=message):  # at once, not with the first chunk
            decode(model, **arguments)


def test_the_models_own_sampling_is_the_default(model):
    run, ts = sampling(model.config)
    assert run.__name__ == "sample_dpmpp_2m"
    assert len(ts) == 3
    latents, noise = torch.randn(2, LATENT), noise_from_seed(model, 0)
    own = frames_of(model, latents, noise)
    assert torch.equal(own, frames_of(model, latents, noise, sampler="dpmpp_2m", steps=3))
    assert not torch.equal(own, frames_of(model, latents, noise, sampler="ddim", steps=8))


def test_pixels_and_frames_are_inverse():
    frames = torch.arange(256, dtype=torch.uint8).expand(3, 256)[None, :, :, None].expand(1, 3, 256, 3)
    pixels = rearrange(to_signed(frames), "n h w c -> n c h w")
    assert (pixels.min(), pixels.max()) == (-1, 1)
    assert torch.equal(to_frames(pixels), frames)
    assert torch.equal(to_frames(1.5 * pixels)[0, 0, ::255, 0], torch.tensor([0, 255], dtype=torch.uint8))  # clipped


@pytest.mark.parametrize("shape", [(40, 60, 3), (60, 40, 3), (9, 9, 3), (16, 16, 3)])
def test_a_picture_is_cropped_to_its_middle_square(shape):
    picture = torch.zeros(shape, dtype=torch.uint8)
    side = min(shape[:2])
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    picture[top : top + side, left : left + side] = 255
    fitted = fit_square(picture, 16)
    assert fitted.shape == (16, 16, 3)
    torch.testing.assert_close(fitted, torch.ones(16, 16, 3))


def test_a_reference_of_another_size_is_refused(model):
    with pytest.raises(InputError, match=r"this model needs \[16, 16, 3\]"):
        noise_from_image(model, torch.zeros(32, 32, 3))


def test_the_memory_asked_for_grows_with_the_window_and_the_number_format(model):
    one = decode_memory(model, 1)
    assert decode_memory(model, 8) == 8 * one
    assert decode_memory(model) == default_window(model) * one
    model.compute_on(torch.device("cpu"), torch.float64)
    try:
        assert decode_memory(model, 1) == 2 * one
    finally:
        model._place = None


def test_pictures_of_any_size_become_squares_of_the_models(model):
    wide = torch.zeros(2, 10, 30, 3)
    wide[:, :, 10:20] = 1.0  # the middle square
    squares = fit_square(wide, 5)
    assert squares.shape == (2, 5, 5, 3)
    torch.testing.assert_close(squares, torch.ones_like(squares))
    torch.testing.assert_close(fit_square(wide[0], 5), squares[0])
