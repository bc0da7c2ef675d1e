"""A sequence of semantic latents as it travels between programs: the values, their rate, and the space they live in.

Latents mean something only to the autoencoder that they were made for (Preechakul et al. 2022, section 3): another
decoder would turn them into a face that nobody asked for, so it refuses them by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from torch import Tensor

from ..errors import InputError


@dataclass(frozen=True)
class LatentSpace:
    """The latents of one encoder. Two spaces are equal when the encoder is, whatever the file is called."""

    name: str = field(compare=False)
    fingerprint: str
    dim: int


@dataclass(frozen=True)
class Latents:
    """`values` float32 [T, D] on the CPU, a row for each frame of a video of `fps`, in the latent space `space`."""

    values: Tensor
    fps: Fraction
    space: LatentSpace

    def __len__(self) -> int:
        """Number of frames T."""
        return len(self.values)

    def within(self, space: LatentSpace) -> Tensor:
        """The values for a decoder of `space`. Raises InputError where they were made for another."""
        if self.space != space:
            raise InputError(
                f"these latents belong to the model {self.space.name!r} ({self.space.dim} values, encoder "
                f"{self.space.fingerprint}), and the decoder is of {space.name!r} ({space.dim} values, encoder "
                f"{space.fingerprint}): make and decode latents with one model"
            )
        return self.values
