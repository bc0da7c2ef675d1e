"""The bound on noise that a VQ auto-encoder tolerates (LaDTalk's NRoUB), as numbers.

Let e = E(x), c_k its nearest code and K a Lipschitz constant of the encoder E. A perturbation d leaves the code as it
is if ||E(x + d) - e|| < m, the margin `m = min_j (||e - c_j||^2 - ||e - c_k||^2) / (2 ||c_j - c_k||)`: how far e is
from the nearest wall of its code's cell. So no code changes for ||d|| < m / K.

What is guaranteed depends on K. `spectral_bound` holds everywhere, so a certificate with it is a proof; it is a product
over the layers and loose. `local_lipschitz` is the norm of the Jacobian at x: it tells how codes react to small noise,
to first order, and proves nothing about noise of finite size. `segment_lipschitz` takes the largest norm found on the
way from x to x + d: the mean value inequality needs the largest of all points on that way, so finitely many make it an
estimate, for that one d. Power iteration approaches a norm from below.

These bounds hold for the worst noise of a size, which is nothing like the noise of footage: `noise_gain` and
`likely_survival` tell, to first order too, what even Gaussian noise does on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import InputError
from .quantiser import Whitening
from .sovqae import GAIN, SOVQAE, ResBlock

Encode = Callable[[Tensor], Tensor]
Check = Callable[[], None]
"""Called between the steps of long work; what it raises stops the work."""
SILU_SLOPE = 1.0998394
"""The steepest slope of SiLU."""
_AT_ONCE = 2048  # encodings whose walls to all codes are looked at together: 8 MB with 1024 codes


def go_on() -> None:
    """The check that stops nothing."""


def margins(z: Tensor, vectors: Tensor) -> Tensor:
    """The margin m [B, h, w] of encodings [B, D, h, w] among the codes [N, D], in the encodings' unit.

    Infinite for a single code. Codes equal to the nearest are no neighbours: which of them is chosen changes nothing.
    """
    flat = rearrange(z, "b d h w -> (b h w) d")
    apart = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    half = vectors.square().sum(-1) / 2
    found = []
    for part in flat.split(_AT_ONCE):
        # ||e - c_j||^2 - ||e - c_k||^2 is twice the difference of these scores.
        score = part @ vectors.T - half
        best, nearest = score.max(-1, keepdim=True)
        distance = apart[nearest[:, 0]]
        wall = torch.where(distance > 0, (best - score) / distance, math.inf)
        found.append(wall.amin(-1))
    return torch.cat(found).reshape(z.shape[0], *z.shape[2:])


def local_lipschitz(
    encode: Encode, frames: Tensor, iterations: int = 12, seed: int = 0, check: Check = go_on
) -> Tensor:
    """The spectral norm [B] of the encoder's Jacobian at each of the frames [B, ...], by power iteration on J^T J.

    `encode` maps frames to encodings, each on its own. The start is drawn from `seed`.
    """
    generator = torch.Generator().manual_seed(seed)
    v = _unit(torch.randn(frames.shape, generator=generator, dtype=torch.float64).to(frames))
    norm = frames.new_zeros(len(frames))
    # The fused attentions have no second derivative.
    with sdpa_kernel(SDPBackend.MATH), _derivatives():
        frames, v = frames.clone(), v.clone()
        z, pull = vjp(encode, frames)
        # J v as the derivative of u -> J^T u, which is linear: forward mode lacks group normalisation.
        _, push = vjp(lambda u: pull(u)[0], torch.zeros_like(z))
        for _ in range(iterations):
            check()
            (u,) = push(v)
            norm = torch.maximum(norm, _norms(u))
            (v,) = pull(u)
            v = _unit(v)
    return norm.detach()


def noise_gain(encode: Encode, frames: Tensor, probes: int = 8, seed: int = 0, check: Check = go_on) -> Tensor:
    """How far Gaussian noise of deviation 1 would move each encoding, root mean square: [B, h, w], to first order.

    It is the Frobenius norm of each position's part of the Jacobian (Hutchinson's estimate from `probes` drawings), so
    also an estimate of a bound on that position's own Lipschitz constant.
    """
    generator = torch.Generator().manual_seed(seed)
    with sdpa_kernel(SDPBackend.MATH), _derivatives():
        frames = frames.clone()
        z, pull = vjp(encode, frames)
        _, push = vjp(lambda u: pull(u)[0], torch.zeros_like(z))
        moved = 0
        for _ in range(probes):
            check()
            noise = torch.randn(frames.shape, generator=generator, dtype=torch.float64).to(frames)
            moved = moved + push(noise)[0].square().sum(1)
    return (moved / probes).sqrt().detach()


def likely_survival(margins: Tensor, gain: Tensor, sigma: float, dim: int) -> Tensor:
    """The chance [B, h, w] that Gaussian noise of deviation `sigma` leaves each code, for encodings of `dim` freedoms.

    As if only the nearest wall were there and the encoding moved alike in all directions: an estimate, no bound.
    """
    reach = sigma * gain / math.sqrt(dim)
    return torch.special.ndtr(margins / reach.clamp(min=1e-30))


def segment_lipschitz(encode: Encode, frames: Tensor, noise: Tensor, points: int = 4, iterations: int = 12) -> Tensor:
    """The largest local constant [B] at `points` places from the frames to frames + noise, both ends among them."""
    if points < 2:
        raise InputError(f"{points} points on a segment; it has two ends.")
    places = (frames + share * noise for share in torch.linspace(0, 1, points).tolist())
    return torch.stack([local_lipschitz(encode, place, iterations) for place in places]).amax(0)


def spectral_bound(net: nn.Module) -> float:
    """An upper bound of a network's Lipschitz constant that holds everywhere: the product over its layers.

    Knows sequences and residual blocks of convolutions, linear layers, ReLU, leaky ReLU and SiLU, whitening at
    rest, folding and padding. A convolution's norm is at most that of its kernel as a matrix, times the root of the
    number of windows that a pixel lies in. Raises InputError for other layers, such as attention: it has no constant.
    """
    if isinstance(net, nn.Sequential | nn.ModuleList):
        return math.prod(spectral_bound(layer) for layer in net)
    if isinstance(net, nn.Conv2d):
        windows = math.prod(math.ceil(k / s) for k, s in zip(net.kernel_size, net.stride, strict=True))
        return _largest(net.weight.flatten(1)) * math.sqrt(windows)
    if isinstance(net, nn.Linear):
        return _largest(net.weight)
    if isinstance(net, Whitening) and not net.training:
        return _largest(net.filter(net.covariance.double()))
    if isinstance(net, ResBlock) and isinstance(net.norm_in, nn.Identity):
        return spectral_bound(net.skip) + SILU_SLOPE**2 * spectral_bound(net.conv_in) * spectral_bound(net.conv_out)
    if isinstance(net, nn.SiLU):
        return SILU_SLOPE
    if isinstance(net, nn.Identity | nn.ReLU | nn.LeakyReLU | nn.PixelUnshuffle | nn.PixelShuffle | nn.ZeroPad2d):
        return 1.0
    if hasattr(net, "layers"):
        return spectral_bound(net.layers)
    raise InputError(f"{type(net).__name__} has no Lipschitz constant that is known here; use the local one.")


@dataclass(frozen=True)
class Certificate:
    """Margins [B, h, w] of each position, the Lipschitz constant [B] of each frame, and what that constant is.

    `kind`: "global" proves; "local" and "segment" estimate (see the module). Noise is measured as the L2 norm of the
    difference of frames in -1..1, over all pixels and channels.
    """

    margins: Tensor
    lipschitz: Tensor
    kind: str

    @property
    def bounds(self) -> Tensor:
        """m / K [B, h, w]: the noise below which the code stays."""
        return self.margins / self.lipschitz.clamp(min=1e-12)[:, None, None]

    def surviving(self, noise: float | Tensor) -> Tensor:
        """The share [B] of positions whose code the bound keeps under noise of this L2 norm, one or one per frame."""
        size = torch.as_tensor(noise, dtype=self.margins.dtype, device=self.margins.device).expand(len(self.margins))
        return (self.bounds > size[:, None, None]).float().mean((1, 2))


def certify(
    model: SOVQAE,
    frames: Tensor,
    noise: Tensor | None = None,
    proof: bool = False,
    iterations: int = 12,
    check: Check = go_on,
) -> Certificate:
    """The certificate of frames [B, 3, H, W] in -1..1; with `noise`, of the same shape, on the way to frames + noise.

    `proof` takes the bound that holds everywhere. Computed in the frames' dtype, float32 or float64, whatever the
    model's. Raises InputError where a proof is wanted of a network that has no such bound.
    """
    encode, vectors = exact_encoder(model, frames.dtype)
    with torch.no_grad():
        z = encode(frames)
    if proof:
        constant, kind = frames.new_full((len(frames),), global_lipschitz(model)), "global"
    elif noise is None:
        constant, kind = local_lipschitz(encode, frames, iterations, check=check), "local"
    else:
        constant, kind = segment_lipschitz(encode, frames, noise, iterations=iterations), "segment"
    return Certificate(margins(z, vectors.to(z.dtype)), constant, kind)


def global_lipschitz(model: SOVQAE) -> float:
    """A Lipschitz constant of the whole way from frames to encodings. Raises InputError where there is none."""
    if model.config.codebook.sphere:
        raise InputError("encodings on the sphere have no global Lipschitz constant: near the centre a step turns far.")
    gain = GAIN if model.config.unseen else 1.0  # hiding the low band makes no difference larger
    return gain * spectral_bound(model.encoder) * spectral_bound(model.quantiser.white)


def exact_encoder(model: SOVQAE, dtype: torch.dtype) -> tuple[Encode, Tensor]:
    """Frames -> encodings as they are compared, in `dtype` whatever the model's, and the codes [N, D] alike."""
    with _derivatives():
        weights = {
            name: value.detach().to(dtype, copy=True) if value.is_floating_point() else value.clone()
            for name, value in [*model.named_parameters(), *model.named_buffers()]
        }
    frozen = _Encoding(model)
    states = {f"model.{name}": value for name, value in weights.items()}
    with torch.no_grad():
        vectors = functional_call(_Vectors(model), states, ())
    return lambda frames: functional_call(frozen, states, (frames,)), vectors


class _Encoding(nn.Module):
    def __init__(self, model: SOVQAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, frames: Tensor) -> Tensor:
        return self.model.encode(frames)


class _Vectors(_Encoding):
    def forward(self) -> Tensor:
        return self.model.quantiser.vectors


@torch.no_grad()
def same_codes(model: SOVQAE, frames: Tensor, others: Tensor) -> Tensor:
    """Bool [B, h, w]: positions whose code is the same in two batches of frames [B, 3, H, W]."""
    return model.codes(frames) == model.codes(others)


@torch.no_grad()
def break_points(model: SOVQAE, frames: Tensor, direction: Tensor, sizes: Tensor) -> Tensor:
    """The first of the noise `sizes` (ascending L2 norms) at which each position's code has changed; inf for none.

    [B, h, w], along `direction` [B, 3, H, W] from the frames: what the bounds are to be compared with.
    """
    start, unit = model.codes(frames), _unit(direction)
    found = torch.full(start.shape, math.inf, dtype=frames.dtype, device=frames.device)
    for size in sizes.tolist():
        changed = model.codes(frames + size * unit) != start
        found = torch.where(changed & found.isinf(), size, found)
    return found


def kinds_of_noise(frames: Tensor, sigma: float, seed: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Noise of the same L2 norm in three kinds: even in all frequencies, coarse (8 x 8 px), and a darker picture."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(frames.shape, generator=generator, dtype=torch.float64).to(frames)
    coarse = nn.functional.interpolate(white[..., ::8, ::8], size=frames.shape[-2:], mode="bilinear")
    size = sigma * math.sqrt(frames[0].numel())
    for name, noise in (("white", white), ("coarse", coarse), ("darker", -torch.ones_like(frames))):
        yield name, size * _unit(noise)


def _derivatives() -> AbstractContextManager[None]:
    """Out of the inference mode that a host may have entered, in which some versions of torch find every derivative to
    be 0. Tensors made in that mode have to be copied."""
    return torch.inference_mode(False)


def _norms(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1)


def _unit(values: Tensor) -> Tensor:
    return values / _norms(values).clamp(min=1e-30).reshape(-1, *[1] * (values.ndim - 1))


def _largest(matrix: Tensor) -> float:
    return float(torch.linalg.matrix_norm(matrix.detach().double(), 2))
