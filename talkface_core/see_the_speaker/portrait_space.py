"""The latent space of portraits: pictures of 128 px to 16 x 16 x 8 numbers and back, and how a portrait is framed.

Source: See the Speaker (Wang et al., arXiv 2510.26819), speech-conditioned portrait generation: latent diffusion
(Rombach et al. 2022), whose KL-regularised autoencoder this is. It is trained on rendered people alone, who exist
nowhere. Beside its convolutions there is a straight way (ours): each square of pixels to its latent by one matrix, and
back. It begins as the principal components of such squares, so that colours and coarse shapes are there from the first
step and the convolutions learn what is missing. A portrait shows the head with its hair: it is framed by the landmarks
as all crops are, only wider, so that eyes and chin of everybody lie at the same heights, which is what makes a mean
face of all faces.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..components import Component
from ..config import Config
from ..device import Operations
from ..diffusion.kl_autoencoder import KLAutoencoder, KLConfig
from ..errors import InputError
from ..faces.align import EYE_LEVEL, MARGIN, FaceCrop

COMPONENT = "portrait_space"

EYES = 0.47
"""Height of the eyes in a portrait, by its side."""

FACE = 0.40
"""Height from the mean face's eyes to its chin, by a portrait's side: a crop of the face (faces/align.py) has 0.54."""


def framed(crop: FaceCrop) -> FaceCrop:
    """The portraits around crops of faces: as many pixels, and hair and neck besides."""
    factor, side = FACE / MARGIN, crop.size
    shift = torch.tensor([0.5 * side * (1 - factor), side * (EYES - factor * EYE_LEVEL)])
    matrices = crop.matrices * factor
    matrices[:, :, 2] += shift
    return FaceCrop(matrices, side, crop.image_size, crop.landmarks * factor + shift)


def _tiny() -> KLConfig:
    return KLConfig(channels=64, multipliers=(1, 2), blocks=2, latent_channels=8, patch=4)


@dataclass(frozen=True)
class PortraitSpaceConfig(Config):
    """Sizes of a `PortraitSpace`. size: side of its portraits in pixels."""

    size: int = 128
    autoencoder: KLConfig = field(default_factory=_tiny)

    def __post_init__(self) -> None:
        self.check_range(16, 1024, "size")
        if self.size % self.autoencoder.factor:
            raise InputError(f"{self.size} px are no multiple of the autoencoder's factor {self.autoencoder.factor}")

    @property
    def latent_size(self) -> int:
        """Side of the latents."""
        return self.size // self.autoencoder.factor

    @classmethod
    def presets(cls) -> dict[str, PortraitSpaceConfig]:
        """ "tiny" (bundled); "base" for 512 px, of the layout of Stable Diffusion's autoencoder."""
        return {"tiny": cls(), "base": cls(512, KLConfig())}


class PortraitSpace(nn.Module):
    """Portraits [B,3,S,S] in -1..1 <-> latents [B,C,L,L] of zero mean and unit deviation in each channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: PortraitSpaceConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config or PortraitSpaceConfig()
        own = self.config.autoencoder
        self.autoencoder = KLAutoencoder(own, operations)
        self.to_latent = operations.Conv2d(3 * own.factor**2, own.latent_channels, 1)
        self.to_pixels = operations.Conv2d(own.latent_channels, 3 * own.factor**2, 1)
        self.register_buffer("mean", torch.zeros(own.latent_channels))
        self.register_buffer("deviation", torch.ones(own.latent_channels))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one portrait's latents."""
        return (self.config.autoencoder.latent_channels, self.config.latent_size, self.config.latent_size)

    def distribution(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance [B,C,L,L] of portraits' latents, not normalised."""
        mean, logvar = self.autoencoder.distribution(pictures)
        return mean + self.to_latent(F.pixel_unshuffle(pictures, self.config.autoencoder.factor)), logvar

    def normalised(self, latents: Tensor) -> Tensor:
        """Latents as the autoencoder has them -> as diffusion has them."""
        return (latents - self.mean[:, None, None].to(latents)) / self.deviation[:, None, None].to(latents)

    def encode(self, pictures: Tensor) -> Tensor:
        """The latents of portraits. Raises InputError for pictures of another size."""
        side = self.config.size
        if pictures.ndim != 4 or pictures.shape[1:] != (3, side, side):
            raise InputError(f"portraits of shape {list(pictures.shape)}; this space has [B,3,{side},{side}].")
        return self.normalised(self.distribution(pictures)[0])

    def decode(self, latents: Tensor) -> Tensor:
        """The portraits of latents, in about -1..1."""
        own = latents * self.deviation[:, None, None].to(latents) + self.mean[:, None, None].to(latents)
        straight = F.pixel_shuffle(self.to_pixels(own), self.config.autoencoder.factor)
        return self.autoencoder.paint(own) + straight


PORTRAIT_SPACE = Component(
    COMPONENT, PortraitSpaceConfig, lambda config, layers: PortraitSpace(config, layers), half=True
)
