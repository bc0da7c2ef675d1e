"""The noise x_T that a run begins with: drawn from its seed, or taken from a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ..dae_talker.model import DAETalker


def starting_noise(talker: DAETalker, reference: str | None, seed: int) -> Tensor:
    """x_T [C, H, W] from `seed`, or by inversion of the picture `reference`. Raises InputError for no picture."""
    import torch

    from ..dae_talker.decode import fit_square, noise_from_image, noise_from_seed
    from ..media.picture import read_picture

    if reference is None:
        return noise_from_seed(talker.autoencoder, seed)
    picture = torch.from_numpy(read_picture(reference, "reference picture"))
    return noise_from_image(talker.autoencoder, fit_square(picture, talker.image_size))
