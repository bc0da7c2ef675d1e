"""The codebook: nearest-code quantisation with a straight-through gradient (van den Oord et al. 2017).

The codes follow either the gradient of the codebook loss, as in the published VQGAN of CodeFormer (Zhou et al. 2022),
or an exponential moving average of the encodings they stand for (van den Oord et al. 2017, appendix A). Codes that
nothing chooses any more are revived at encodings of the batch at hand (Williams et al. 2020); a new codebook is nothing
but dead codes, so its first batch sets it up.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config
from ..device import without_autocast
from ..errors import InputError

_COMPARED_AT_ONCE = 1024  # encodings with all codes


@dataclass(frozen=True)
class CodebookConfig(Config):
    """Sizes and upkeep of a codebook.

    `codes` vectors of `dim` numbers. `update`: "gradient" (a weight, trained by the codebook loss) or "ema" (a buffer,
    a moving average with `decay`). `sphere` puts encodings and codes on the unit sphere, so that distances, margins and
    the spread have one scale whatever the encoder's gain; `whiten` comes before it (see `Whitening`). `revive_below`
    is the usage, as a share of an even one, below which a code counts as dead; 0 revives none.
    """

    codes: int = 1024
    dim: int = 256
    update: str = "gradient"
    decay: float = 0.99
    sphere: bool = False
    whiten: bool = False
    revive_below: float = 0.05

    def __post_init__(self) -> None:
        if self.update not in ("gradient", "ema"):
            raise InputError(f"codebook update {self.update!r} is unknown; choose gradient or ema.")
        if self.codes < 2 or self.dim < 1 or not 0 <= self.decay < 1 or not 0 <= self.revive_below < 1:
            raise InputError(
                f"a codebook of {self.codes} codes of {self.dim} numbers, decay {self.decay}, revival below "
                f"{self.revive_below}: it needs two codes, one number, decay and revival in 0..1."
            )


@dataclass(frozen=True)
class Quantised:
    """What quantising encodings [..., D] gave.

    `z` are the encodings as they were compared (on the sphere, where the codebook is) and `z_q` the chosen codes with
    the straight-through gradient, both [..., D]; `codes` [...] are their numbers. `losses` are there in training only.
    """

    z: Tensor
    z_q: Tensor
    codes: Tensor
    losses: QuantiserLosses | None = None


@dataclass(frozen=True)
class QuantiserLosses:
    """Scalars: `codebook` moves the codes to the encodings (0 for "ema"), `commitment` the encodings to their codes;
    `perplexity` (1..codes), which is no loss, is the number of codes that were in even use in all processes."""

    codebook: Tensor
    commitment: Tensor
    perplexity: Tensor


class Whitening(nn.Module):
    """Encodings [..., D] to mean 0 and unit covariance over the footage (Huang et al. 2018, by Cholesky's factor).

    So no two numbers say the same and encodings cannot fall together on a few codes: left to themselves, all numbers
    follow whatever the decoder can use first. In training the batch's statistics count, later their running averages.
    """

    MOMENTUM, SHRINK = 0.05, 1e-3

    mean: Tensor
    covariance: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        # Not torch.eye, which imports torch's compiler where it is called on the meta device.
        self.register_buffer("covariance", torch.zeros(dim, dim).fill_diagonal_(1.0))

    def forward(self, z: Tensor) -> Tensor:
        mean, covariance = self.mean.to(z.dtype), self.covariance.to(z.dtype)
        if self.training:
            flat = z.flatten(0, -2)
            mean = flat.mean(0)
            covariance = (flat - mean).T @ (flat - mean) / len(flat)
            with torch.no_grad():
                self.mean.lerp_(mean.to(self.mean.dtype), self.MOMENTUM)
                self.covariance.lerp_(covariance.to(self.covariance.dtype), self.MOMENTUM)
        return (z - mean) @ self.filter(covariance).T

    def filter(self, covariance: Tensor) -> Tensor:
        """The matrix [D, D] that whitens; a little of an even covariance keeps faint numbers from being blown up."""
        even = self.SHRINK * covariance.diagonal().mean() + 1e-8
        identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        # In training a failure shows as a loss that is not a number: to look at once would wait for the device.
        factor, failed = torch.linalg.cholesky_ex(covariance + even * identity, check_errors=not self.training)
        factor = factor.where(failed == 0, torch.nan)
        return torch.linalg.solve_triangular(factor, identity, upper=False)


class Quantiser(nn.Module):
    """Encodings [..., D] to their nearest codes, in float32 or float64 whatever the network's dtype.

    Weights and buffers have to stay float32 in a network that is cast: a codebook in half precision is another one.
    """

    embedding: Tensor
    total: Tensor
    usage: Tensor

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        start = torch.empty(config.codes, config.dim).uniform_(-1 / config.codes, 1 / config.codes)
        if config.update == "gradient":
            self.embedding = nn.Parameter(start)
        else:
            self.register_buffer("embedding", start)
            self.register_buffer("total", start.clone())
        self.white = Whitening(config.dim) if config.whiten else nn.Identity()
        # A moving average of how often each code is chosen; 1 is an even share. Nothing has been chosen yet.
        self.register_buffer("usage", torch.zeros(config.codes))

    @property
    def vectors(self) -> Tensor:
        """The codes as they are compared, [codes, D], float32 or float64."""
        vectors = self.embedding if self.embedding.dtype == torch.float64 else self.embedding.float()
        return F.normalize(vectors, dim=-1) if self.config.sphere else vectors

    @property
    def used(self) -> Tensor:
        """Bool [codes]: the codes that are alive."""
        return self.usage > max(self.config.revive_below, 1e-3)

    def project(self, z: Tensor) -> Tensor:
        """Encodings [..., D] as they are compared: float32 or float64, on the sphere where the codebook is."""
        z = self.white(z if z.dtype == torch.float64 else z.float())
        return F.normalize(z, dim=-1) if self.config.sphere else z

    def nearest(self, z: Tensor) -> Tensor:
        """The number of the nearest code [...] of projected encodings [..., D]; among equals the first."""
        return nearest_code(z, self.vectors)

    def lookup(self, codes: Tensor) -> Tensor:
        """The vectors [..., D] of codes [...]."""
        return self.vectors[codes]

    def forward(self, z: Tensor) -> Quantised:
        """Quantise [..., D]; in training mode also keep the codebook in order, together with all other processes."""
        with without_autocast(z.device):
            dtype, z = z.dtype, self.project(z)
            flat = z.detach().flatten(0, -2)
            if self.training:
                self._revive(flat)
            codes = self.nearest(z.detach())
            chosen, losses = self.lookup(codes), None
            if self.training:
                counts = _summed(usage_counts(codes.flatten(), self.config.codes))
                losses = QuantiserLosses(
                    codebook=F.mse_loss(chosen, z.detach()) if self.config.update == "gradient" else z.new_zeros(()),
                    commitment=F.mse_loss(z, chosen.detach()),
                    perplexity=perplexity(counts),
                )
                self._follow(flat, codes.flatten(), counts)
            return Quantised(z, (z + (chosen - z).detach()).to(dtype), codes, losses)

    @torch.no_grad()
    def _revive(self, flat: Tensor) -> None:
        # A new codebook is set up even where later none is revived.
        dead = (self.usage < self.config.revive_below) | (self.usage == 0).all()
        picks = flat[torch.randint(len(flat), (self.config.codes,), device=flat.device)]
        _from_first(picks)
        picks = picks.to(self.embedding.dtype)
        self.embedding.copy_(torch.where(dead[:, None], picks, self.embedding))
        # As if chosen evenly, so that a revived code has time to win encodings before it is tested again.
        self.usage.copy_(torch.where(dead, 1.0, self.usage))
        if self.config.update == "ema":
            self.total.copy_(torch.where(dead[:, None], picks, self.total))

    @torch.no_grad()
    def _follow(self, flat: Tensor, codes: Tensor, counts: Tensor) -> None:
        even = counts.sum() / self.config.codes
        self.usage.lerp_(counts / even, 1 - self.config.decay)
        if self.config.update == "ema":
            sums = _summed(torch.zeros_like(self.total).index_add_(0, codes, flat.to(self.total.dtype)))
            self.total.lerp_(sums / even, 1 - self.config.decay)
            # In place of the division's result the old code, where none is left to divide by.
            mean = self.total / self.usage.clamp(min=1e-5)[:, None]
            self.embedding.copy_(torch.where(self.usage[:, None] > 1e-5, mean, self.embedding))


def nearest_code(z: Tensor, vectors: Tensor) -> Tensor:
    """The number [...] of the vector [N, D] nearest to each encoding [..., D]; among equals the first."""
    half = vectors.square().sum(-1) / 2
    # In parts that stay in a processor's cache; max is several times as fast there as argmax, and the same.
    flat = z.reshape(-1, z.shape[-1])
    parts = flat.split(_COMPARED_AT_ONCE if z.device.type == "cpu" else max(len(flat), 1))
    return torch.cat([(part @ vectors.T - half).max(-1).indices for part in parts]).view(z.shape[:-1])


def usage_counts(codes: Tensor, size: int) -> Tensor:
    """How often each of `size` codes is among codes [N]: float32 [size]. Unlike bincount it waits for no device."""
    counts = torch.zeros(size, device=codes.device)
    return counts.index_add_(0, codes, torch.ones(len(codes), device=codes.device))


def perplexity(counts: Tensor) -> Tensor:
    """Exponential of the entropy of how often each code [codes] was chosen: 1 (one code) to the number of codes."""
    share = counts / counts.sum()
    return torch.special.entr(share).sum().exp()


def _summed(values: Tensor) -> Tensor:
    """The sum over all processes of a distributed run."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(values)
    return values


def _from_first(values: Tensor) -> None:
    """The first process's values, so that all codebooks stay equal."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast(values, 0)
