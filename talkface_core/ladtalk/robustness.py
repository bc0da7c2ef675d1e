"""The noise bound of a VQ auto-encoder (LaDTalk's NRoUB), as numbers: how firmly its codes stand.

Let e = E(x), c_k its nearest code and K a Lipschitz constant of the encoder E. A perturbation d leaves the code as it
is if ||E(x + d) - e|| < m, the margin `m = min_j (||e - c_j||^2 - ||e - c_k||^2) / (2 ||c_j - c_k||)`: how far e is
from the nearest wall of its code's cell. So no code changes for ||d|| < m / K.

What is guaranteed depends on K. `local_lipschitz` is the norm of the Jacobian at x, approached from below by power
iteration: it tells how codes react to small noise, to first order, and proves nothing about noise of finite size. A
constant that holds everywhere does not exist here: encodings on a sphere, attention and group normalisation have none.

These bounds hold for the worst noise of a size, which is nothing like the noise of footage: `noise_gain` and
`likely_survival` tell, to first order too, what even Gaussian noise does on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp
from torch.nn.attention import SDPBackend, sdpa_kernel

from .sovqae import SOVQAE

Encode = Callable[[Tensor], Tensor]
Check = Callable[[], None]
"""Called between the steps of long work; what it raises stops the work."""
_AT_ONCE = 2048  # encodings whose walls to all codes are looked at together: 8 MB with 1024 codes


def go_on() -> None:
    """The check that stops nothing."""


def margins(z: Tensor, vectors: Tensor) -> Tensor:
    """The margin m [...] of encodings [..., D] among the codes [N, D], in the encodings' unit.

    Infinite for a single code. Codes equal to the nearest are no neighbours: which of them is chosen changes nothing.
    """
    apart = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    half = vectors.square().sum(-1) / 2
    parts = []
    for part in z.flatten(0, -2).split(_AT_ONCE):
        # ||e - c_j||^2 - ||e - c_k||^2 is twice the difference of these scores.
        score = part @ vectors.T - half
        best, nearest = score.max(-1, keepdim=True)
        distance = apart[nearest[:, 0]]
        wall = torch.where(distance > 0, (best - score) / distance, math.inf)
        parts.append(wall.amin(-1))
    return torch.cat(parts).reshape(z.shape[:-1])


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
            moved = moved + push(noise)[0].square().sum(-1)
    return (moved / probes).sqrt().detach()


def likely_survival(margins: Tensor, gain: Tensor, sigma: float, dim: int) -> Tensor:
    """The chance [B, h, w] that Gaussian noise of deviation `sigma` leaves each code, for encodings of `dim` freedoms.

    As if only the nearest wall were there and the encoding moved alike in all directions: an estimate, no bound.
    """
    reach = sigma * gain / math.sqrt(dim)
    return torch.special.ndtr(margins / reach.clamp(min=1e-30))


@dataclass(frozen=True)
class Certificate:
    """Margins [B, h, w] of each position and the local Lipschitz constant [B] of each frame.

    Noise is measured as the L2 norm of the difference of frames in -1..1, over all pixels and channels.
    """

    margins: Tensor
    lipschitz: Tensor

    @property
    def bounds(self) -> Tensor:
        """m / K [B, h, w]: the noise below which the code stays, to first order."""
        return self.margins / self.lipschitz.clamp(min=1e-12)[:, None, None]

    def surviving(self, noise: float | Tensor) -> Tensor:
        """The share [B] of positions whose code the bound keeps under noise of this L2 norm, one or one per frame."""
        size = torch.as_tensor(noise, dtype=self.margins.dtype, device=self.margins.device).expand(len(self.margins))
        return (self.bounds > size[:, None, None]).float().mean((1, 2))


def certify(model: SOVQAE, frames: Tensor, iterations: int = 12, check: Check = go_on) -> Certificate:
    """The certificate of frames [B, 3, H, W] in -1..1.

    Computed in the frames' dtype, float32 or float64, whatever the model's.
    """
    encode, vectors = exact_encoder(model, frames.dtype)
    with torch.no_grad():
        z = encode(frames)
    constant = local_lipschitz(encode, frames, iterations, check=check)
    return Certificate(margins(z, vectors.to(z.dtype)), constant)


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


def _derivatives() -> AbstractContextManager[None]:
    """Out of the inference mode that a host may have entered, in which some versions of torch find every derivative to
    be 0. Tensors made in that mode have to be copied."""
    return torch.inference_mode(False)


def _norms(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1)


def _unit(values: Tensor) -> Tensor:
    return values / _norms(values).clamp(min=1e-30).reshape(-1, *[1] * (values.ndim - 1))
