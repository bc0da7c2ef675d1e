"""Networks under the host's management: what they are kept and computed in, and how they are loaded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management as mm
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch
from torch import Tensor, nn

from ...talkface_core.device import pick_layers
from ...talkface_core.errors import InputError
from ...talkface_core.memory import count_as_out_of_memory
from ...talkface_core.parallel import pick_workers

log = logging.getLogger(__name__)

count_as_out_of_memory(mm.OOM_EXCEPTION)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Component:
    """A network of the pack on its way through the graph: the host's patcher around it, and what it is.

    `space` tells whose latents it makes or reads; `provenance` what it was trained on. A `whole` one is of plain torch
    layers, of which no part may stay behind when the network is loaded.
    """

    patcher: comfy.model_patcher.ModelPatcher
    name: str
    space: Any
    provenance: dict[str, Any]
    whole: bool = False

    @property
    def network(self) -> Any:
        """The network where it lies, for its settings; `load` it to compute."""
        return self.patcher.model


def pick_dtype(name: str, weights: dict[str, Tensor]) -> tuple[torch.dtype, torch.dtype]:
    """(what the weights are kept in, what is computed in): the host's choice for "auto", else the named type."""
    device = mm.get_torch_device()
    if name != "auto":
        if name not in DTYPES:
            raise InputError(f"dtype {name!r} is unknown: choose auto, {', '.join(DTYPES)}")
        return DTYPES[name], DTYPES[name]
    count = sum(tensor.numel() for tensor in weights.values())
    kept = mm.unet_dtype(device=device, model_params=count, weight_dtype=comfy.utils.weight_dtype(weights))
    return kept, mm.unet_manual_cast(kept, device) or kept


def layers(kept: torch.dtype, computed: torch.dtype) -> Any:
    """The host's layers, which fetch and cast weights where memory is short; on a CPU those that are quick there."""
    device = mm.get_torch_device()
    own = pick_layers(device, computed) if kept == computed else nn
    return own if own is not nn else comfy.ops.pick_operations(kept, computed, load_device=device)


def managed(network: nn.Module) -> comfy.model_patcher.ModelPatcher:
    """The network under the host's model management."""
    return comfy.model_patcher.ModelPatcher(
        network, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
    )


def device() -> torch.device:
    """Where networks compute."""
    return mm.get_torch_device()


def load(component: Component, memory: float = 0.0) -> Any:
    """The network, after the host has made room for it and for `memory` bytes of activations."""
    return load_all([component], memory)[0]


def load_all(components: Sequence[Component], memory: float = 0.0) -> list[Any]:
    """The same of networks that work side by side, so that none is put away for another."""
    whole = any(component.whole for component in components)
    mm.load_models_gpu([one.patcher for one in components], memory_required=memory, force_full_load=whole)
    return [component.network for component in components]


def workers() -> int:
    """Windows computed at once: as many as the CPU has threads for, one on a GPU."""
    return pick_workers(mm.get_torch_device())
