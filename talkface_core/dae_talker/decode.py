"""Latents to frames, and frames to latents: the conditional decoder run on every latent from one x_T.

Source: DAE-Talker (Du et al. 2023), decoding: one noise image x_T, drawn once, is shared by all frames, so that a
decoder trained on single frames makes continuous video. x_T may also be inverted from a picture (Preechakul et al.
2022, eq. 8: the stochastic code), which hands that picture's details on to all frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..diffusion.sampling import Callback, get_sampler, invert_ddim, noise
from ..diffusion.schedules import timesteps
from ..errors import InputError
from ..memory import AdaptiveBatch
from ..parallel import ordered_map
from ..pixels import signed_to_unit, to_bytes, to_signed, to_unit
from .autoencoder import AutoencoderConfig, DiffusionAutoencoder

INVERSION_STEPS = 50

_LARGEST_WINDOW = 16
_LIVE_MAPS = 8  # of the size of the finest level at the peak: 6.5 to 7.5 were measured on both presets
_VALUES = (2**21, 2**27)  # of one activation at the finest level, on a CPU and on a GPU


def noise_from_seed(model: DiffusionAutoencoder, seed: int | torch.Generator) -> Tensor:
    """x_T [C, H, W] on the CPU for `model`: standard normal, the same for a seed on every device."""
    return noise(_noise_shape(model), seed)


def noise_from_image(
    model: DiffusionAutoencoder,
    image: Tensor,
    steps: int = INVERSION_STEPS,
    standardise: bool = True,
    callback: Callback | None = None,
) -> Tensor:
    """x_T [C, H, W] from which the decoder comes back to `image` [H, W, 3], uint8 or 0..1, of the model's size.

    `standardise` brings it to mean 0 and deviation 1, as all noise that the decoder was trained on. A decoder that
    takes nearly everything from z has little use for x_T, and its exact inverse is several times too large: it suits
    that one picture and no other frame.
    Raises InputError for another shape, or an impossible number of steps.
    """
    size, device = model.config.image_size, model.compute_device
    if image.shape != (size, size, 3):
        raise InputError(f"reference picture of shape {list(image.shape)}: this model needs [{size}, {size}, 3]")
    x_0 = rearrange(to_signed(image).to(device), "h w c -> 1 c h w")
    ts = timesteps(model.config.schedule, steps, model.config.sampling.spacing)
    with torch.no_grad():
        z = model.encode(x_0.to(next(model.encoder.parameters()).dtype))
        x_T = invert_ddim(model.denoiser(z), x_0, model.config.schedule, ts, callback)[0]
    return (x_T - x_T.mean()) / x_T.std() if standardise else x_T


@torch.no_grad()
def encode(model: DiffusionAutoencoder, frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Semantic latents float32 [n, D] on the CPU of chunks [n, H, W, 3], uint8 or 0..1, of the model's size."""
    device, dtype = model.compute_device, next(model.encoder.parameters()).dtype
    for chunk in frames:
        pixels = rearrange(to_signed(chunk), "n h w c -> n c h w")
        yield model.encode(pixels.to(device, dtype)).float().cpu()


@torch.no_grad()
def kept_decibels(model: DiffusionAutoencoder, frame: Tensor, latent: Tensor) -> float:
    """PSNR in dB of a frame [H, W, 3], uint8 or 0..1, as it comes back from its latent [D], by one evaluation.

    Enough to tell a face that the model knows from others: the bundled model's own come back with 35 dB and more,
    other people, paintings and animals with 8 to 13.
    """
    noise = noise_from_seed(model, 0)
    (back,) = next(decode(model, latent[None], noise, steps=1, dtype=torch.float32, size=model.config.image_size)).cpu()
    error = (back - to_unit(frame.cpu())).square().mean().clamp(min=1e-10)
    return float(-10 * error.log10())


def decode(
    model: DiffusionAutoencoder,
    latents: Tensor | Iterable[Tensor],
    noise: Tensor,
    sampler: str | None = None,
    steps: int | None = None,
    window: int | None = None,
    callback: Callback | None = None,
    dtype: torch.dtype = torch.uint8,
    workers: int = 1,
    size: int | None = None,
    first: int | None = None,
) -> Iterator[Tensor]:
    """Frames of the latents [T, D], or of chunks [t, D] as they come, all from the one x_T `noise` [C, H, W].

    Yields [n, H, W, 3] on the model's device, uint8 or, by `dtype`, float 0..1; n is `window` but for the last chunk
    and, where that is fewer, `first` for the first, which then comes the sooner.
    `sampler` and `steps` are the model's own where None, `window` what suits its size. Frames do not depend on the
    window; when memory runs out, it is computed in parts, and the log says so. `workers` windows are computed at once
    (see parallel.py). `callback(step, steps, x_0)` is called within each window, by its worker. `size` is one of the
    model's `sizes` (None: the largest).
    Raises InputError for an unknown sampler, steps outside 1..T, latents or noise of another shape, another size.
    """
    config = model.config
    run, ts = sampling(config, sampler, steps)
    window = default_window(model) if window is None else window
    if window < 1:
        raise InputError(f"window of {window} frames: decode at least one frame at a time")
    if noise.shape != _noise_shape(model):
        raise InputError(f"x_T of shape {list(noise.shape)}: this model needs {list(_noise_shape(model))}")
    upsampler = None if model.frame_size(size) == config.image_size else model.upsampler
    device, compute = model.compute_device, model.compute_dtype
    x_T = noise.to(device, torch.float32)

    def frames(z: Tensor) -> Tensor:
        shared = x_T.expand(len(z), *x_T.shape).contiguous()
        x_0 = run(model.denoiser(z.to(device)), shared, config.schedule, ts, callback=callback)
        return to_frames(x_0 if upsampler is None else upsampler(x_0.to(compute)).float(), dtype)

    return ordered_map(AdaptiveBatch(frames), _windows(_checked(latents, config.latent_dim), window, first), workers)


def default_window(model: DiffusionAutoencoder) -> int:
    """Frames at a time: at most 16, fewer for a large model, whose activations would fill the memory."""
    config, device = model.config.unet, model.compute_device
    values = config.channels[0] * (config.image_size // config.patch) ** 2
    return max(1, min(_LARGEST_WINDOW, _VALUES[device.type == "cuda"] // values))


def decode_memory(model: DiffusionAutoencoder, window: int | None = None, size: int | None = None) -> float:
    """Bytes of activations that a window of `decode` needs at its peak, for a host that makes room beforehand."""
    config = model.config.unet
    values = _LIVE_MAPS * config.channels[0] * (config.image_size // config.patch) ** 2
    if (side := model.frame_size(size)) > config.image_size and model.upsampler is not None:
        larger = model.upsampler.config
        values = max(values, 4 * larger.fine * (larger.image_size // 2) ** 2 + 4 * 3 * side**2)
    frames = default_window(model) if window is None else window
    return float(values * frames * model.compute_dtype.itemsize)


def sampling(
    config: AutoencoderConfig, sampler: str | None = None, steps: int | None = None
) -> tuple[Callable[..., Tensor], list[int]]:
    """The sampler and the time steps it walks; the model's own where None. Raises InputError."""
    own = config.sampling
    run = get_sampler(own.sampler if sampler is None else sampler)
    return run, timesteps(config.schedule, own.steps if steps is None else steps, own.spacing)


def to_frames(pixels: Tensor, dtype: torch.dtype = torch.uint8) -> Tensor:
    """Pixels [n, C, H, W] in -1..1 as frames [n, H, W, C]: uint8, rounded, or floats in 0..1."""
    last = rearrange(pixels, "n c h w -> n h w c")
    if dtype == torch.uint8:
        return to_bytes(signed_to_unit(last)).contiguous()
    return signed_to_unit(last).to(dtype, memory_format=torch.contiguous_format)


def fit_square(images: Tensor, size: int) -> Tensor:
    """The middle squares of pictures [..., H, W, 3], uint8 or 0..1, resized to float [..., size, size, 3] in 0..1."""
    height, width = images.shape[-3:-1]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = to_signed(images)[..., top : top + side, left : left + side, :].reshape(-1, side, side, 3)
    resized = F.interpolate(rearrange(square, "n h w c -> n c h w"), (size, size), mode="bilinear", antialias=True)
    fitted = rearrange(signed_to_unit(resized), "n c h w -> n h w c")
    return fitted.reshape(*images.shape[:-3], size, size, 3)


def _noise_shape(model: DiffusionAutoencoder) -> tuple[int, int, int]:
    config = model.config.unet
    return config.in_channels, config.image_size, config.image_size


def _checked(latents: Tensor | Iterable[Tensor], width: int) -> Iterator[Tensor]:
    for chunk in [latents] if isinstance(latents, Tensor) else latents:
        if chunk.ndim != 2 or chunk.shape[1] != width:
            shape = list(chunk.shape)
            raise InputError(f"latents of shape {shape} belong to another model: this decoder reads [frames, {width}]")
        yield chunk


def _windows(chunks: Iterator[Tensor], window: int, first: int | None = None) -> Iterator[Tensor]:
    """The rows of the chunks again, `window` at a time, and no more than `first` at first; the last may be fewer."""
    buffer: Tensor | None = None
    size = window if first is None else min(first, window)
    for chunk in chunks:
        buffer = chunk if buffer is None else torch.cat([buffer, chunk])
        while len(buffer) >= size:
            yield buffer[:size]
            buffer, size = buffer[size:], window
    if buffer is not None and len(buffer):
        yield buffer
