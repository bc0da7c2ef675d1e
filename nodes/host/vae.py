"""The host's VAE as two functions. It loads, offloads and frees it itself, whenever it is asked for something."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import comfy.model_management as mm
import comfy.model_patcher
from torch import Tensor

from ...talkface_core.errors import InputError


class HostVae:
    """Pixels [B,H,W,3] in 0..1 <-> latents [B,4,H/8,W/8], on any device, of one of the host's VAE.

    Where memory is short, the host puts other networks away for it: those it works `beside` come back afterwards.
    """

    def __init__(self, vae: Any) -> None:
        """Raises InputError for a VAE of another kind than Stable Diffusion 1's."""
        channels, factor = (getattr(vae, name, None) for name in ("latent_channels", "downscale_ratio"))
        if (channels, factor) != (4, 8):
            factor = factor if isinstance(factor, int) else "another share"
            raise InputError(
                f"the input vae makes latents of {channels} channels and {factor} of the side; connect Stable "
                "Diffusion 1's, of 4 channels and 8 (sd-vae-ft-mse)"
            )
        self._vae = vae
        self._beside: list[weakref.ref[comfy.model_patcher.ModelPatcher]] = []

    @property
    def patcher(self) -> comfy.model_patcher.ModelPatcher:
        """What the host manages."""
        return self._vae.patcher

    def beside(self, patchers: Sequence[comfy.model_patcher.ModelPatcher]) -> None:
        """It works in turns with these networks from now on."""
        # One of them holds this very object: no circle, or they would outlive their use.
        self._beside = [weakref.ref(patcher) for patcher in patchers]

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents, as the host has them: not scaled."""
        return self._done(self._vae.encode(pixels))

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels."""
        return self._done(self._vae.decode(latents))

    def _done(self, made: Tensor) -> Tensor:
        if patchers := [patcher for one in self._beside if (patcher := one()) is not None]:
            mm.load_models_gpu(patchers)
        return made
