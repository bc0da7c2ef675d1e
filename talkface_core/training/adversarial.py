"""A patch discriminator and its losses, for every network that must make texture rather than the mean of textures.

Discriminator: that of image translation (Isola et al. 2017), as in CodeFormer's first stage. Hinge (Lim & Ye 2017) with
an adaptive weight: VQGAN (Esser et al. 2021, eqs. 4 to 7). Matching of its features: Wang et al. 2018, eq. 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..config import Config


@dataclass(frozen=True)
class PatchDiscriminatorConfig(Config):
    """`channels` of the convolutions, all but the last with stride 2, after folding `patch` x `patch` pixels.

    `norm`: batch normalisation between the first and the last, as published.
    """

    patch: int = 1
    channels: tuple[int, ...] = (64, 128, 256, 512, 512)
    norm: bool = True

    @classmethod
    def presets(cls) -> dict[str, PatchDiscriminatorConfig]:
        """ "base", as published, and "tiny"."""
        return {"base": cls(), "tiny": cls(patch=2, channels=(64, 96, 128), norm=False)}


class PatchDiscriminator(nn.Module):
    """Frames [B, 3, H, W] in -1..1 -> its hidden maps, and last the score of each patch [B, 1, h, w]; real is above."""

    def __init__(self, config: PatchDiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        width = 3 * config.patch**2
        self.fold = nn.PixelUnshuffle(config.patch)
        self.layers = nn.ModuleList()
        for n, channels in enumerate(config.channels):
            norm = config.norm and n > 0
            stride = 1 if n == len(config.channels) - 1 else 2
            layer: list[nn.Module] = [nn.Conv2d(width, channels, 4, stride, 1, bias=not norm)]
            self.layers.append(nn.Sequential(*layer, *([nn.BatchNorm2d(channels)] if norm else [])))
            width = channels
        self.score = nn.Conv2d(width, 1, 4, padding=1)

    def forward(self, frames: Tensor) -> list[Tensor]:
        h, maps = self.fold(frames), []
        for layer in self.layers:
            h = F.leaky_relu(layer(h), 0.2)
            maps.append(h)
        return [*maps, self.score(h)]


def discriminator_maps(discriminator: nn.Module, generated: Tensor) -> list[Tensor]:
    """The discriminator's maps of generated frames, with gradients to the frames alone."""
    frozen: Mapping[str, Tensor] = {name: p.detach() for name, p in discriminator.named_parameters()}
    # Running statistics change only when the discriminator itself is trained.
    buffers = {name: b.clone() for name, b in discriminator.named_buffers()}
    return functional_call(discriminator, {**frozen, **buffers}, (generated,))


def generator_hinge(score: Tensor) -> Tensor:
    """-mean(D(generated))."""
    return -score.float().mean()


def discriminator_hinge(real: Tensor, generated: Tensor) -> Tensor:
    """mean(max(0, 1 - D(real)) + max(0, 1 + D(generated))) / 2."""
    return (F.relu(1 - real.float()).mean() + F.relu(1 + generated.float()).mean()) / 2


def feature_matching(generated: list[Tensor], real: list[Tensor]) -> Tensor:
    """Mean L1 distance of the discriminator's hidden maps, each by its real map's own size (Wang et al. 2018, eq.
    4)."""
    terms = [
        (a.float() - b.float().detach()).abs().mean() / b.float().detach().abs().mean().clamp(min=1e-6)
        for a, b in zip(generated[:-1], real[:-1], strict=True)
    ]
    return torch.stack(terms).mean()


def adaptive_weight(picture: Tensor, adversarial: Tensor, last: Tensor, most: float = 1.0) -> Tensor:
    """How much of the discriminator's loss balances the picture's: the ratio of their gradients' norms at the decoder's
    last weight, at most `most` (CodeFormer; VQGAN eq. 7)."""
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (picture, adversarial)]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0, most).detach()


@dataclass(frozen=True)
class AdversarialLoss:
    """Weights of the terms. `judge`: of the discriminator's opinion, times the balance of gradients where `adaptive`;
    `matching`: of its features; `start`: the step from which on they count."""

    judge: float = 0.02
    adaptive: bool = False
    matching: float = 0.1
    start: int = 0

    def __call__(
        self,
        discriminator: nn.Module,
        generated: Tensor,
        real: Tensor,
        step: int,
        picture: Tensor | None = None,
        last: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Frames [B,3,H,W] in -1..1 -> the weighted sum with the discriminator's own loss, which reaches the
        discriminator alone; the terms. Before `start` the discriminator enters times zero: the engine asks for a
        gradient of each weight. An adaptive weight needs the `picture`'s loss and the generator's `last` weight."""
        if step < self.start:
            return 0 * torch.stack([weight.sum() for weight in discriminator.parameters()]).sum(), {}
        on_real, on_generated = discriminator(real), discriminator(generated.detach())
        maps = discriminator_maps(discriminator, generated)
        terms = {
            "judge": generator_hinge(maps[-1]),
            "judge_own": discriminator_hinge(on_real[-1], on_generated[-1]),
        }
        weight: float | Tensor = self.judge
        if self.adaptive:
            assert picture is not None
            assert last is not None
            weight = weight * adaptive_weight(picture, terms["judge"], last)
        total = weight * terms["judge"] + terms["judge_own"]
        if self.matching:
            terms["matching"] = feature_matching(maps, on_real)
            total = total + self.matching * terms["matching"]
        return total, terms
