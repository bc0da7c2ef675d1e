"""Stable Diffusion's autoencoder: an eighth of the side, KL-regularised, in its public layout.

Source: latent diffusion (Rombach et al. 2022, appendix G; their f8 model with four channels). The network is
diffusion/kl_autoencoder.py's; `vae-ft-mse-840000-ema-pruned.safetensors` (MIT) is one of the public files.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..diffusion.kl_autoencoder import KLAutoencoder, KLConfig
from ..tensor_file import CheckpointError, opened, read_shapes
from .vae_space import SIZE, VaeSpace

PREFIX = "first_stage_model."
"""What the keys begin with in files of all of Stable Diffusion."""

_TRAINING = ("loss.", "model_ema.")  # of the autoencoder's own training, in files that were not pruned
_EXPECTED = "Stable Diffusion's autoencoder (.safetensors), such as vae-ft-mse-840000-ema-pruned.safetensors"


def kl_space(net: KLAutoencoder, size: int = SIZE) -> VaeSpace:
    """The latent space of such a network, frozen; gradients pass through it."""
    return VaeSpace(net.encode, net.decode, net.eval().requires_grad_(False), size)


def is_kl_autoencoder(path: str | Path) -> bool:
    """Whether a safetensors file has the autoencoder's keys. Raises CheckpointError for what is no such file."""
    return bool(
        read_shapes(Path(path), _EXPECTED).keys() & {"decoder.conv_in.weight", PREFIX + "decoder.conv_in.weight"}
    )


def read_kl_autoencoder(path: str | Path, config: KLConfig | None = None) -> KLAutoencoder:
    """The autoencoder of a public file, float32, on the CPU; alone or with all of Stable Diffusion.

    Raises CheckpointError for any file that does not hold exactly its weights.
    """
    path, config = Path(path), config or KLConfig()
    shapes = read_shapes(path, _EXPECTED)
    prefix = PREFIX if any(key.startswith(PREFIX) for key in shapes) else ""
    found = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    found = {key: shape for key, shape in found.items() if not key.startswith(_TRAINING)}
    with torch.device("meta"):
        wanted = {key: tuple(value.shape) for key, value in KLAutoencoder(config).state_dict().items()}
    if "decoder.conv_in.weight" in found and any(key.startswith("decoder.up_blocks.") for key in found):
        _refuse(path, "the same network in the layout of diffusers")
    for difference, names in (("no", wanted.keys() - found.keys()), ("also", found.keys() - wanted.keys())):
        if names:
            _refuse(path, f"{difference} {min(names)[:80]!r} among {len(found)} weights")
    for key, shape in wanted.items():
        if found[key] != shape:
            _refuse(path, f"{key} of shape {[*found[key]]}, not {[*shape]}")
    with opened(path, _EXPECTED) as file:
        state = {key: file.get_tensor(prefix + key) for key in wanted}
    if spoilt := [key for key, tensor in state.items() if not torch.isfinite(tensor).all()]:
        _refuse(path, f"NaN or infinite weights in {spoilt[0]}")
    net = KLAutoencoder(config)
    net.load_state_dict(state)
    return net.eval()


def _refuse(path: Path, actual: str) -> None:
    raise CheckpointError(f"{path}: found {actual}; expected {_EXPECTED}.")
