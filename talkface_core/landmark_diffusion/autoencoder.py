"""The autoencoder of the latent space, with a decoder that is shown references.

Source: latent diffusion (Rombach et al. 2022, section 3.1), KL-regularised, which the paper diffuses in; what the
decoder is shown besides is ours. Of 128 px a latent of 32 x 32 x 4 keeps a sixth of the numbers: lips and teeth survive
it, a beard and pores do not. So the encoder's maps of reference pictures, moved by the landmarks (warping.py), enter
the decoder as skips, and its output chooses for every pixel between paint and the references' own pixels, which it
moves a little further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.blocks import ResBlock, group_norm, zero_init
from ..errors import InputError
from ..faces.landmarks import INNER_LIP_PAIRS, MOUTH
from ..pixels import resized_pictures
from .latent_space import OWN, Decoded, LatentSpace, ReferenceMaps
from .warping import enlarged, landmark_flow, pixel_centres, shrunk, squared_distances, warp

COMPONENT = "autoencoder"
FARTHEST = 0.08
"""How far the decoder itself may move a reference's pixels beyond what landmarks say, by the crop's side."""

PARTED = 0.002
"""How much farther apart than any reference's lips are open ones, by the crop's side: see `nearness`."""

AROUND = 0.05
"""How far from the lips, by the crop's side, their gap counts in the choice of a reference: see `nearness`."""

_PAINT_FIRST = 1.0  # how much likelier paint is at first than a reference: an untrained warp shows another mouth


@dataclass(frozen=True)
class AutoencoderConfig(Config):
    """Sizes of a `ReferenceAutoencoder`.

    size: side of its pictures, of which the latent has a quarter; patch: pixels that are folded into channels first;
    channels: at half and at a quarter of the pictures' side; skip: channels of a reference's maps that are kept for the
    decoder, at both; references: how many pictures it is shown; pictures: side of the crops that it is to be given, 0:
    `size`. What is carried over keeps their detail; what is painted has that of `size`. choice: how firmly one
    reference is chosen for a pixel, 1: as trained. nearness: how far a reference is left out, about the lips, whose
    lips are not as far apart as they are to be, 0: as trained; it is multiplied by `choice`.
    """

    size: int = 128
    latent_channels: int = 4
    channels: tuple[int, ...] = (48, 96)
    skip: tuple[int, ...] = (24, 32)
    blocks: int = 2
    references: int = 2
    pictures: int = 0
    choice: float = 1.0
    nearness: float = 0.0

    retired = frozenset({"sealing"})

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "latent_channels", "channels", "skip")
        self.check_range(1, 8, "blocks", "references")
        self.check_range(16, 1024, "size")
        self.check_range(0, 100, "choice")
        self.check_range(0, 1000, "nearness")
        if len(self.channels) != 2 or len(self.skip) != 2:
            raise InputError(f"channels {self.channels} and skips {self.skip}: an f4 autoencoder has two of each")
        if self.size % 4:
            raise InputError(f"{self.size} px cannot be quartered; give a multiple of 4")
        if self.pictures and not self.size <= self.pictures <= 1024:
            raise InputError(f"crops of {self.pictures} px for an autoencoder of {self.size}: give that or more")

    @classmethod
    def presets(cls) -> dict[str, AutoencoderConfig]:
        """ "tiny" (bundled) and "base", for 256 px."""
        return {"tiny": cls(pictures=256), "base": cls(size=256, channels=(128, 256), skip=(64, 64), blocks=3)}

    @property
    def latent_size(self) -> int:
        """Side of the latent."""
        return self.size // 4


class ReferenceAutoencoder(LatentSpace):
    """Pictures [B,3,S,S] in -1..1 <-> latents [B,C,S/4,S/4] of about unit deviation."""

    name = OWN
    mean: Tensor
    deviation: Tensor

    def __init__(self, config: AutoencoderConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config, ops = config or AutoencoderConfig(), operations
        fine, coarse = self.config.channels
        skip_fine, skip_coarse = self.config.skip
        count, latent = self.config.references, self.config.latent_channels

        def blocks(width: int) -> list[nn.Module]:
            return [ResBlock(width, width, operations=ops) for _ in range(self.config.blocks)]

        self.stem = ops.Conv2d(12, fine, 3, padding=1)
        self.encoder_fine = nn.Sequential(*blocks(fine))
        self.encoder_coarse = nn.Sequential(ResBlock(fine, coarse, resample="down", operations=ops), *blocks(coarse))
        self.to_latent = nn.Sequential(group_norm(coarse, ops), nn.SiLU(), ops.Conv2d(coarse, 2 * latent, 3, padding=1))
        self.keep_fine, self.keep_coarse = ops.Conv2d(fine, skip_fine, 1), ops.Conv2d(coarse, skip_coarse, 1)

        self.from_latent = ops.Conv2d(latent, coarse, 3, padding=1)
        self.decoder_coarse = nn.Sequential(
            ResBlock(coarse + count * skip_coarse, coarse, operations=ops),
            *blocks(coarse)[1:],
            ResBlock(coarse, fine, resample="up", operations=ops),
        )
        self.known = ops.Conv2d(12, skip_fine, 3, padding=1)
        self.decoder_fine = nn.Sequential(
            ResBlock(fine + (count + 1) * skip_fine, fine, operations=ops), *blocks(fine)[1:], group_norm(fine, ops)
        )
        # Of each pixel its paint and how likely are paint and each reference; of each four how far a reference moves.
        self.out = ops.Conv2d(fine, 4 * (3 + 1 + count) + 2 * count, 3, padding=1)
        zero_init(self.out)
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("deviation", torch.ones(latent))

    @property
    def size(self) -> int:
        return self.config.size

    @property
    def picture_size(self) -> int:
        return self.config.pictures or self.config.size

    @property
    def latent_size(self) -> int:
        return self.config.latent_size

    @property
    def latent_channels(self) -> int:
        return self.config.latent_channels

    @property
    def references(self) -> int:
        return self.config.references

    @property
    def values(self) -> int:
        return sum(self.config.channels) * (self.size // 2) ** 2

    def settings(self) -> dict[str, Any]:
        return self.config.to_dict()

    def distribution(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance [B,C,S/4,S/4] of pictures' latents, not normalised."""
        mean, logvar = self.to_latent(self._maps(pictures)[1]).chunk(2, 1)
        return mean, logvar.clamp(-20, 5)

    def encode(self, pictures: Tensor) -> Tensor:
        """The latents [B,C,S/4,S/4] of pictures [B,3,S,S] in -1..1, normalised."""
        return self.normalised(self.distribution(pictures)[0])

    def normalised(self, latents: Tensor) -> Tensor:
        """Latents as the encoder has them -> of zero mean and unit deviation, as diffusion has them."""
        return (latents - self.mean[:, None, None].to(latents)) / self.deviation[:, None, None].to(latents)

    def _maps(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.encoder_fine(self.stem(F.pixel_unshuffle(pictures, 2)))
        return fine, self.encoder_coarse(fine)

    def reference(self, pictures: Tensor, landmarks: Tensor) -> ReferenceMaps:
        """What the decoder needs of references [B,R,3,S,S] in -1..1 with their landmarks [B,R,68,2], once for each."""
        return self.reference_latents(pictures, landmarks)[0]

    def reference_latents(self, pictures: Tensor, landmarks: Tensor) -> tuple[ReferenceMaps, Tensor]:
        """See `LatentSpace`. The encoder learns from what it encodes, not from what is shown."""
        count = pictures.shape[1]
        with torch.no_grad():
            small = resized_pictures(pictures, self.config.size)
            fine, coarse = self._maps(rearrange(small, "b r c h w -> (b r) c h w"))
            latents = self.normalised(self.to_latent(coarse).chunk(2, 1)[0])
        kept = (
            rearrange(maps, "(b r) c h w -> b r c h w", r=count)
            for maps in (self.keep_fine(fine), self.keep_coarse(coarse), latents)
        )
        fine, coarse, latents = kept
        return ReferenceMaps(pictures, fine, coarse, landmarks), latents

    def decode(self, latents: Tensor, known: Tensor, landmarks: Tensor, references: ReferenceMaps) -> Decoded:
        """See `LatentSpace`. The gradient reaches the landmarks."""
        count, side = self.config.references, self.config.size
        flat = {
            name: rearrange(getattr(references, name), "b r ... -> (b r) ...")
            for name in ("pictures", "fine", "coarse", "landmarks")
        }
        flow = landmark_flow(repeat(landmarks, "b n d -> (b r) n d", r=count), flat["landmarks"], side // 2)
        moved = [
            rearrange(warp(flat[name], shrunk(flow, size)), "(b r) c h w -> b (r c) h w", r=count)
            for name, size in (("coarse", side // 4), ("fine", side // 2))
        ]
        latents = latents * self.deviation[:, None, None].to(latents) + self.mean[:, None, None].to(latents)
        h = self.decoder_coarse(torch.cat([self.from_latent(latents), moved[0]], 1))
        seen = self.known(F.pixel_unshuffle(known, 2))
        h = self.out(F.silu(self.decoder_fine(torch.cat([h, moved[1], seen], 1))))
        unlike = self._unlike(landmarks, references.landmarks) if self.config.nearness else None
        return self._composed(h.float(), flat["pictures"].float(), flow, unlike)

    def _unlike(self, landmarks: Tensor, references: Tensor) -> Tensor:
        """What is taken off the logits of references [B,R,S,S], by their landmarks [B,R,68,2]: the more the further the
        gap of their lips is from the frame's, and the nearer a pixel lies to the frame's lips.

        By the ratio of the gaps, since an open mouth can be made half open, and a shut one that is drawn apart shows no
        mouth. Each counts beyond the least reference's, for shut lips are read a little apart.
        """
        theirs, wanted = _gap(references.float()), _gap(landmarks.float())[:, None]
        least = theirs.amin(1, keepdim=True)
        ratio = (theirs - least + PARTED) / ((wanted - least).clamp(min=0) + PARTED)
        side = self.config.latent_size
        pixels = rearrange(pixel_centres(side, landmarks.device), "h w d -> 1 (h w) d")
        away = squared_distances(pixels, landmarks[:, MOUTH]).amin(-1)
        near = rearrange((-away / (2 * AROUND**2)).exp(), "b (h w) -> b 1 h w", h=side)
        return self.config.nearness * ratio.log().abs()[..., None, None] * near

    def _composed(self, h: Tensor, pictures: Tensor, flow: Tensor, unlike: Tensor | None = None) -> Decoded:
        count, side = self.config.references, pictures.shape[-1]
        split = [4 * 3, 4 * (1 + count), 2 * count]
        paint, choice, further = h.split(split, 1)
        paint, choice = (_at(F.pixel_shuffle(part, 2), side) for part in (paint, choice))
        further = FARTHEST * rearrange(further, "b (r d) h w -> (b r) h w d", r=count).tanh()
        carried = warp(pictures, enlarged(flow + further, side), "bicubic")
        carried = rearrange(carried, "(b r) c h w -> b r c h w", r=count)
        paint_logit, logits = choice[:, :1] + _PAINT_FIRST, choice[:, 1:]
        share = torch.cat([paint_logit, logits], 1).softmax(1)[:, :1]
        if unlike is not None:
            logits = logits - _at(unlike, side)
        own = (self.config.choice * logits).softmax(1)
        moved = (own[:, :, None] * carried).sum(1)
        return Decoded(pictures=moved + share * (paint - moved), carried=moved, paint=share)


def _gap(points: Tensor) -> Tensor:
    """How far apart the inner lips are [...] in points [...,68,2], in their unit: below nothing counts as nothing."""
    upper, lower = (list(side) for side in zip(*INNER_LIP_PAIRS, strict=True))
    return (points[..., lower, 1] - points[..., upper, 1]).mean(-1).clamp(min=0)


def _at(maps: Tensor, side: int) -> Tensor:
    """Maps at the side of larger pictures."""
    if maps.shape[-1] == side:
        return maps
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)


AUTOENCODER = Component(
    COMPONENT,
    AutoencoderConfig,
    lambda config, layers: ReferenceAutoencoder(config, layers),
    half=True,
    streams=False,
)
