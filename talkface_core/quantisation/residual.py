"""Residual vector quantisation: codebooks in a row, each for what those before it left (Zeghidour et al. 2021, RVQ)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from .quantiser import CodebookConfig, Quantised, Quantiser, QuantiserLosses


class ResidualVectorQuantizer(nn.Module):
    """Encodings [..., D] to the codes [..., L] of `levels` codebooks, whose vectors add up to the encoding.

    Raises InputError for codebooks that compare directions or whitened encodings: what is left of those is neither.
    """

    def __init__(self, config: CodebookConfig, levels: int) -> None:
        super().__init__()
        if levels < 1 or config.sphere or config.whiten:
            raise InputError(f"{levels} levels of {config}: residuals need a level, no sphere, no whitening.")
        self.config = config
        self.levels = nn.ModuleList(Quantiser(config) for _ in range(levels))

    def lookup(self, codes: Tensor) -> Tensor:
        """The vectors [..., D] of codes [..., L]; fewer levels than there are give a coarser answer."""
        pairs = zip(self.levels, codes.unbind(-1), strict=False)
        return torch.stack([level.lookup(code) for level, code in pairs]).sum(0)

    def forward(self, z: Tensor) -> Quantised:
        """As `Quantiser`, with codes [..., L]; losses are means over the levels."""
        left, quantised = z if z.dtype == torch.float64 else z.float(), []
        for level in self.levels:
            quantised.append(level(left))
            left = left - level.lookup(quantised[-1].codes).detach()
        codes = torch.stack([one.codes for one in quantised], -1)
        exact = quantised[0].z
        z_q = exact + (self.lookup(codes) - exact).detach()
        losses = [one.losses for one in quantised if one.losses is not None]
        return Quantised(exact, z_q.to(z.dtype), codes, _mean(losses) if losses else None)


def _mean(losses: list[QuantiserLosses]) -> QuantiserLosses:
    names = ("codebook", "commitment", "perplexity")
    return QuantiserLosses(*(torch.stack([getattr(one, name) for one in losses]).mean() for name in names))
