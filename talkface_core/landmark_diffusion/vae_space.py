"""The latent space of Stable Diffusion's VAE, which a host or a public file brings.

Source: latent diffusion (Rombach et al. 2022): an autoencoder that makes an eighth of the side, and the factor by which
Stable Diffusion's latents have about unit deviation. Its decoder is shown no references: what it makes is all paint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..errors import InputError
from ..pixels import resized_pictures
from .latent_space import STABLE_DIFFUSION, Decoded, LatentSpace, ReferenceMaps

SCALE = 0.18215
FACTOR = 8
CHANNELS = 4
SIZE = 256

_LIVE_VALUES = 512  # of each pixel of a picture, in the decoder's widest part


class VaeSpace(LatentSpace):
    """The space of two functions: `encode` makes of pixels [B,S,S,3] in 0..1 latents [B,4,S/8,S/8], not scaled, and
    `decode` pixels of latents.

    They may compute wherever and in whatever type they like. net: the network behind them, where it is to move with the
    painter; None: somebody else, such as a host, looks after it.
    """

    name = STABLE_DIFFUSION

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        decode: Callable[[Tensor], Tensor],
        net: nn.Module | None = None,
        size: int = SIZE,
        references: int = 2,
    ) -> None:
        super().__init__()
        if size % (2 * FACTOR):
            raise InputError(f"{size} px: a lower half of whole latents needs a multiple of {2 * FACTOR}")
        self._encode, self._decode, self.net = encode, decode, net
        self._size, self._references = size, references

    @property
    def size(self) -> int:
        return self._size

    @property
    def latent_size(self) -> int:
        return self._size // FACTOR

    @property
    def latent_channels(self) -> int:
        return CHANNELS

    @property
    def references(self) -> int:
        return self._references

    @property
    def values(self) -> int:
        return 0 if self.net is None else _LIVE_VALUES * self._size**2

    def settings(self) -> dict[str, Any]:
        return {"space": self.name, "size": self._size, "references": self._references}

    def encode(self, pictures: Tensor) -> Tensor:
        latents = self._encode(rearrange(pictures.float() / 2 + 0.5, "b c h w -> b h w c"))
        wanted = (len(pictures), CHANNELS, self.latent_size, self.latent_size)
        if tuple(latents.shape) != wanted:
            raise InputError(
                f"a VAE that makes latents {[*latents.shape]} of {len(pictures)} pictures of {self._size} px, expected "
                f"{[*wanted]}: take Stable Diffusion 1's, such as sd-vae-ft-mse"
            )
        return SCALE * latents.to(pictures)

    def reference_latents(self, pictures: Tensor, landmarks: Tensor) -> tuple[ReferenceMaps, Tensor]:
        count = pictures.shape[1]
        with torch.no_grad():
            small = resized_pictures(pictures, self._size)
            latents = self.encode(rearrange(small, "b r c h w -> (b r) c h w"))
        nothing = pictures[:, :, :0]
        return ReferenceMaps(nothing, nothing, nothing, landmarks), rearrange(
            latents, "(b r) c h w -> b r c h w", r=count
        )

    def decode(self, latents: Tensor, known: Tensor, landmarks: Tensor, references: ReferenceMaps) -> Decoded:
        pixels = self._decode(latents.float() / SCALE).to(latents)
        pictures = 2 * rearrange(pixels, "b h w c -> b c h w") - 1
        return Decoded(pictures, pictures, torch.ones_like(pictures[:, :1]))
