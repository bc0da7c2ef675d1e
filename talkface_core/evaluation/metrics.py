"""Metrics of pictures and sequences: PSNR, SSIM, flicker, sharpness, share of open mouths, landmark distance.

Pictures are frames [T,H,W,3], RGB, uint8 or float 0..1, numpy or torch. PSNR and SSIM (data range 1; SSIM of Wang et
al., 2004, on RGB with an 11 px Gaussian window of sigma 1.5 where it lies wholly inside) are scikit-image's to the last
digits, taken for each frame and then averaged.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange, reduce
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..errors import InputError
from ..pixels import to_unit

OPEN = 0.02
"""A mouth counts as open above this `mouth_open`: 1.3 px where the face is 65 px from brow to chin."""


def as_pictures(frames: ArrayLike | Tensor) -> Tensor:
    """Frames [T,H,W,3] uint8 or float 0..1 -> float32 [T,3,H,W] in 0..1. Raises InputError for any other shape."""
    if isinstance(frames, np.ndarray) and not frames.flags.writeable:
        frames = frames.copy()  # torch has no read-only tensors; a cache of frames is mapped read-only
    tensor = torch.as_tensor(frames)
    if tensor.ndim != 4 or tensor.shape[-1] != 3:
        raise InputError(f"frames of shape {list(tensor.shape)}; measuring needs RGB frames of shape [T, H, W, 3].")
    return rearrange(to_unit(tensor), "t h w c -> t c h w").contiguous()


def _pair(generated: ArrayLike | Tensor, real: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    a, b = as_pictures(generated), as_pictures(real)
    if a.shape != b.shape:
        raise InputError(
            f"generated frames {list(a.shape)} and real frames {list(b.shape)} differ; "
            "compare clips of one size and length."
        )
    return a, b


def psnr(generated: ArrayLike | Tensor, real: ArrayLike | Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each frame [T] in dB; infinite for equal frames. Frames [T,H,W,3]."""
    a, b = _pair(generated, real)
    return -10 * (a - b).square().flatten(1).mean(1).log10()


def ssim(generated: ArrayLike | Tensor, real: ArrayLike | Tensor) -> Tensor:
    """Structural similarity of each frame [T], at most 1. Frames [T,H,W,3] of at least 11 px; InputError for less."""
    a, b = _pair(generated, real)
    if min(a.shape[2:]) < _SSIM_WINDOW:
        raise InputError(f"frames of {a.shape[3]}x{a.shape[2]} px; SSIM needs {_SSIM_WINDOW} px at least.")
    pictures = zip(*(rearrange(x, "t c h w -> t h w c").numpy() for x in (a, b)), strict=True)
    return torch.tensor([_ssim(x, y) for x, y in pictures])


_SSIM_WINDOW, _SSIM_SIGMA, _SSIM_C = 11, 1.5, (0.01**2, 0.03**2)


def _ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """SSIM of two pictures [H,W,3]; means and variances are Gaussian-weighted."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    reach = _SSIM_WINDOW // 2
    weights = np.exp(-0.5 * ((np.arange(_SSIM_WINDOW) - reach) / _SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    inside = slice(reach, -reach)
    maps = (cv2.sepFilter2D(x, -1, weights, weights)[inside, inside] for x in (a, b, a * a, b * b, a * b))
    mean_a, mean_b, aa, bb, ab = maps
    both, squares = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    low, high = _SSIM_C
    top = (2 * both + low) * (2 * (ab - both) + high)
    return float((top / ((squares + low) * (aa + bb - squares + high))).mean(dtype=np.float64))


@dataclass
class PictureQuality:
    """Mean PSNR and SSIM over frames that come in chunks; `add`, then read `psnr` and `ssim`."""

    frames: int = 0
    _psnr: float = 0.0
    _ssim: float = 0.0

    def add(self, generated: ArrayLike | Tensor, real: ArrayLike | Tensor) -> None:
        """Take in a chunk: two arrays [T,H,W,3]."""
        self._psnr += psnr(generated, real).double().sum().item()
        self._ssim += ssim(generated, real).double().sum().item()
        self.frames += len(real)

    @property
    def psnr(self) -> float:
        """Mean of the frames' PSNR in dB; NaN before the first frame."""
        return self._psnr / self.frames if self.frames else float("nan")

    @property
    def ssim(self) -> float:
        """Mean of the frames' SSIM; NaN before the first frame."""
        return self._ssim / self.frames if self.frames else float("nan")


def open_share(mouth_open: ArrayLike, where: ArrayLike | None = None, threshold: float = OPEN) -> float:
    """Share (0..1) of frames whose `mouth_open` [T] exceeds `threshold`, of those that the bool `where` [T] names.

    NaN where no frame is named.
    """
    mouth_open = np.asarray(mouth_open)
    chosen = mouth_open if where is None else mouth_open[np.asarray(where, bool)]
    return float((chosen > threshold).mean()) if len(chosen) else float("nan")


@dataclass
class StillMask:
    """Which pixels stand still in the real footage: `add` its frames chunk by chunk, then ask for `mask`.

    The standard deviation over time is that of the channel that moves most, in grey levels of 255.
    """

    _count: int = 0
    _sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    _squares: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, frames: ArrayLike | Tensor) -> None:
        """Take in frames [T,H,W,3]."""
        levels = 255 * as_pictures(frames).double()
        self._sum = self._sum + levels.sum(0)
        self._squares = self._squares + levels.square().sum(0)
        self._count += len(levels)

    def deviation(self) -> Tensor:
        """Standard deviation over time [H,W] in grey levels."""
        if not self._count:
            raise InputError("no frame was given, so nothing is known to be still; add the real frames first.")
        mean = self._sum / self._count
        return (self._squares / self._count - mean.square()).clamp(min=0).sqrt().amax(0)

    def mask(self, threshold: float = 2.0) -> Tensor:
        """Bool [H,W]: deviation below `threshold` grey levels."""
        return self.deviation() < threshold


@dataclass
class Flicker:
    """Mean absolute change from frame to frame inside a mask, in grey levels of 255; frames may come in chunks.

    `mask` is bool [H,W]; None takes the whole picture.
    """

    mask: Tensor | None = None
    _last: Tensor | None = None
    _sum: float = 0.0
    _pairs: int = 0

    def add(self, frames: ArrayLike | Tensor) -> None:
        """Take in the clip's next frames [T,H,W,3]."""
        levels = 255 * as_pictures(frames)
        if self.mask is not None:
            if self.mask.shape != levels.shape[-2:] or not self.mask.any():
                raise InputError(
                    f"a mask of shape {list(self.mask.shape)} with {int(self.mask.sum())} pixels for frames of "
                    f"{list(levels.shape[-2:])}; flicker needs a mask of the frames' size that holds some pixel."
                )
            levels = levels[:, :, self.mask.to(torch.bool)]
        if self._last is not None:
            levels = torch.cat([self._last, levels])
        if len(levels) > 1:
            changes = (levels[1:] - levels[:-1]).abs().flatten(1).mean(1)
            self._sum += changes.double().sum().item()
            self._pairs += len(changes)
        self._last = levels[-1:]

    @property
    def value(self) -> float:
        """Mean change in grey levels; NaN before the second frame."""
        return self._sum / self._pairs if self._pairs else float("nan")


def flicker(frames: ArrayLike | Tensor, mask: Tensor | None = None) -> float:
    """`Flicker` of one clip [T,H,W,3] in memory."""
    meter = Flicker(mask)
    meter.add(frames)
    return meter.value


def luma(pictures: Tensor) -> Tensor:
    """BT.709 luma [T,H,W] of [T,3,H,W]."""
    weights = torch.tensor([0.2126, 0.7152, 0.0722], dtype=pictures.dtype)
    return torch.einsum("tchw,c->thw", pictures, weights)


def laplacian_variance(frames: ArrayLike | Tensor) -> Tensor:
    """Variance [T] of the 4-neighbour Laplacian of the luma (grey levels of 255, squared); grows with sharp detail."""
    y = 255 * luma(as_pictures(frames))
    inner = y[:, 1:-1, 1:-1]
    edges = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:] - 4 * inner
    return edges.flatten(1).var(1, correction=0)


def high_band_share(frames: ArrayLike | Tensor) -> Tensor:
    """Share [T] (0..1) of the luma's power above half the Nyquist frequency (radius 0.25 cycles a pixel).

    The mean is removed and a Hann window keeps the region's borders out. Zero for an even region.
    """
    power, radius = _power(frames)
    return (power * (radius > 0.25)).sum((1, 2)) / power.sum((1, 2)).clamp(min=1e-12)


def radial_spectrum(frames: ArrayLike | Tensor, bins: int = 16) -> Tensor:
    """Mean power of the luma in `bins` rings of equal width from 0 to Nyquist: [T, bins], the coarsest first.

    Windowed as in `high_band_share`; frequencies beyond Nyquist (the spectrum's corners) belong to no ring.
    """
    power, radius = _power(frames)
    ring = (radius * 2 * bins).long()
    inside = (ring < bins).flatten()
    sums = torch.zeros(len(power), bins, dtype=power.dtype)
    sums.index_add_(1, ring.flatten()[inside], power.flatten(1)[:, inside])
    return sums / torch.bincount(ring.flatten()[inside], minlength=bins).clamp(min=1)


def fine_power_ratio(generated: ArrayLike | Tensor, real: ArrayLike | Tensor) -> float:
    """Power of the luma above half the Nyquist frequency, by that of the real crops [T,h,w,3]; 1 is equal.

    Means over the rings and frames; unlike a share it is not moved by how bright or contrasty the coarse picture is.
    """
    a, b = (radial_spectrum(frames)[:, 8:].mean().item() for frames in (generated, real))
    return a / b if b > 0 else float("nan")


def _power(frames: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    """Power spectra [T,H,W] of the luma without its mean under a Hann window, and the radius [H,W], cycles a pixel."""
    y = luma(as_pictures(frames)).double()
    height, width = y.shape[-2:]
    y = y - reduce(y, "t h w -> t 1 1", "mean")
    window = torch.outer(*(torch.hann_window(n, periodic=False, dtype=y.dtype) for n in (height, width)))
    radius = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None])
    return torch.fft.fft2(y * window).abs().square(), radius


SHARPNESS: dict[str, Callable[[ArrayLike | Tensor], Tensor]] = {
    "laplacian_variance": laplacian_variance,
    "high_band_share": high_band_share,
}


def sharpness_ratio(generated: ArrayLike | Tensor, real: ArrayLike | Tensor, kind: str = "laplacian_variance") -> float:
    """Mean sharpness of the generated region over that of the real one; 1 is equal, below 1 softer. Crops [T,h,w,3]."""
    measure = SHARPNESS[kind]
    reference = measure(real).mean().item()
    return measure(generated).mean().item() / reference if reference > 0 else float("nan")
