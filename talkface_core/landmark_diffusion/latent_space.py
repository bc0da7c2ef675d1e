"""The space that landmark diffusion diffuses in, as painter and training ask for it, whoever's it is.

Source: latent diffusion (Rombach et al. 2022). There are two spaces: the pack's own, whose autoencoder a checkpoint
holds (autoencoder.py), and that of Stable Diffusion's VAE, which no checkpoint does (vae_space.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

OWN = "own"
STABLE_DIFFUSION = "stable-diffusion-f8"
SPACES = (OWN, STABLE_DIFFUSION)
"""Whose latents a denoiser is made for: its checkpoint's own autoencoder's, or Stable Diffusion's VAE's."""


@dataclass(frozen=True)
class ReferenceMaps:
    """What the decoder is shown of pictures [B,R,...]: pictures [B,R,3,H,H] in -1..1, H at least S, their maps at half
    and at a quarter of S, and their landmarks [B,R,68,2] in shares of the crop. A space that shows none has maps of no
    channels."""

    pictures: Tensor
    fine: Tensor
    coarse: Tensor
    landmarks: Tensor


@dataclass(frozen=True)
class Decoded:
    """pictures [B,3,H,H] in about -1..1, as large as the references; carried [B,3,H,H], made of the references' pixels
    alone; paint [B,1,H,H], how far each pixel is paint."""

    pictures: Tensor
    carried: Tensor
    paint: Tensor


class LatentSpace(nn.Module, ABC):
    """Pictures [B,3,S,S] in -1..1 <-> latents [B,C,L,L] of about unit deviation.

    name: one of `SPACES`; size: S; picture_size: side of the crops that are cut out of films, S or more; latent_size:
    L; latent_channels: C; references: how many pictures the decoder is shown beside a frame.
    """

    name: str

    @property
    @abstractmethod
    def size(self) -> int: ...

    @property
    def picture_size(self) -> int:
        return self.size

    @property
    @abstractmethod
    def latent_size(self) -> int: ...

    @property
    @abstractmethod
    def latent_channels(self) -> int: ...

    @property
    @abstractmethod
    def references(self) -> int: ...

    @property
    @abstractmethod
    def values(self) -> int:
        """Numbers in the maps of all levels of one picture, by which memory is told; 0 where others see to it."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What a training run notes of it."""

    @abstractmethod
    def encode(self, pictures: Tensor) -> Tensor:
        """The latents of pictures; in the pictures' type, on their device."""

    @abstractmethod
    def reference_latents(self, pictures: Tensor, landmarks: Tensor) -> tuple[ReferenceMaps, Tensor]:
        """What the decoder needs of references [B,R,3,S,S] with their landmarks [B,R,68,2], once for each, and their
        latents [B,R,C,L,L]. No gradient reaches an encoder here."""

    @abstractmethod
    def decode(self, latents: Tensor, known: Tensor, landmarks: Tensor, references: ReferenceMaps) -> Decoded:
        """Pictures of latents [B,C,L,L].

        known [B,3,S,S]: the picture itself where it is known, elsewhere 0; landmarks [B,68,2]: where the face's points
        are to lie, in shares of the crop.
        """


def known_part(pictures: Tensor) -> Tensor:
    """Pictures or latents [...,H,W] with nothing but their upper half: what inpainting knows of a frame."""
    known = pictures.new_zeros(pictures.shape)
    half = pictures.shape[-2] // 2
    known[..., :half, :] = pictures[..., :half, :]
    return known
