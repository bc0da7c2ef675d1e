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
from comfy.cli_args import args
from torch import Tensor, nn

from ...talkface_core.device import pick_dtype as pick_dtype_for
from ...talkface_core.device import pick_layers
from ...talkface_core.errors import InputError
from ...talkface_core.memory import count_as_out_of_memory
from ...talkface_core.parallel import pick_workers
from .vae import HostVae

log = logging.getLogger(__name__)

count_as_out_of_memory(mm.OOM_EXCEPTION)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_ALL = 1e32  # bytes: as the host writes "without limit"


@dataclass(frozen=True)
class Component:
    """A network of the pack on its way through the graph: the host's patcher around it, and what it is.

    `space` tells whose latents it makes or reads; `provenance` what it was trained on; `vae` is the host's VAE that it
    works with, if it does.
    """

    patcher: comfy.model_patcher.ModelPatcher
    name: str
    space: Any
    provenance: dict[str, Any]
    vae: HostVae | None = None

    @property
    def network(self) -> Any:
        """The network where it lies, for its settings; `load` it to compute."""
        model = self.patcher.model
        return model.network if isinstance(model, Held) else model


class Held(nn.Module):
    """Holds a network that tells its `device` itself: the host would write that word over, and cannot."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class WholePatcher(comfy.model_patcher.ModelPatcher):
    """Loads all of a network or nothing: plain torch layers do not fetch weights that were left behind.

    Under --novram and where memory is short, the host's own patcher leaves such layers where they are and says nothing.
    """

    def partially_load(self, device_to: torch.device, extra_memory: float = 0, **options: Any) -> Any:
        """All of it, however little the host would give."""
        if extra_memory < self.model_size() and not self.loaded_size():
            kind, size = type(self.model).__name__, self.model_size() / 2**20
            log.info("TalkFace: all of %s is loaded, %.1f MB: its layers cannot be loaded one by one", kind, size)
        return super().partially_load(device_to, _ALL, **options)

    def partially_unload(self, *_: Any, **__: Any) -> int:
        """Nothing, upon which the host takes all of it away."""
        return 0


def pick_dtype(name: str, weights: dict[str, Tensor]) -> tuple[torch.dtype, torch.dtype]:
    """(what the weights are kept in, what is computed in): the host's choice for "auto", else the named type.

    A CPU the host does not look at, unless its command line says what to take: there it is what the pack's own command
    line takes. Where the host would keep them in a type that these networks do not know (float8), they are kept in what
    is computed in; the log says so.
    """
    device = mm.get_torch_device()
    if name != "auto":
        if name not in DTYPES:
            raise InputError(f"dtype {name!r} is unknown: choose auto, {', '.join(DTYPES)}")
        return DTYPES[name], DTYPES[name]
    count = sum(tensor.numel() for tensor in weights.values())
    kept = mm.unet_dtype(device=device, model_params=count, weight_dtype=comfy.utils.weight_dtype(weights))
    if device.type == "cpu" and kept == torch.float32 and not (args.fp32_unet or args.force_fp32):
        kept = pick_dtype_for(device)
        return kept, kept
    computed = mm.unet_manual_cast(kept, device) or kept
    if kept in DTYPES.values():
        return kept, computed
    known = computed if computed in DTYPES.values() else torch.float32
    log.warning("TalkFace: ComfyUI is set to %s, which these networks do not know: they take %s", kept, known)
    return known, known


def layers(kept: torch.dtype, computed: torch.dtype, streams: bool = True) -> Any:
    """What to build a network of: the host's layers for one that `streams`, else torch's.

    The host's fetch and cast weights where memory is short. On a CPU it is those that are quick there.
    """
    device = mm.get_torch_device()
    own = pick_layers(device, computed) if kept == computed else nn
    return own if own is not nn or not streams else comfy.ops.pick_operations(kept, computed, load_device=device)


def managed(network: nn.Module, streams: bool = False) -> comfy.model_patcher.ModelPatcher:
    """The network under the host's model management; one that `streams` is built of the host's layers.

    With dynamic memory the host takes a patcher of the older kind for a reason to put other models away.
    """
    older = comfy.model_patcher.ModelPatcher
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", older)
    if kind is older and not streams:
        kind = WholePatcher
    if isinstance(getattr(type(network), "device", None), property):
        network = Held(network)
    return kind(network, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device())


def device() -> torch.device:
    """Where networks compute."""
    return mm.get_torch_device()


def load(component: Component, memory: float = 0.0) -> Any:
    """The network, after the host has made room for it and for `memory` bytes of activations."""
    return load_all([component], memory)[0]


def load_all(components: Sequence[Component], memory: float = 0.0) -> list[Any]:
    """The same of networks that work side by side, so that none is put away for another."""
    patchers = [one.patcher for one in components]
    vaes = [one.vae for one in components if one.vae is not None]
    for vae in vaes:
        vae.beside(patchers)
    mm.load_models_gpu([*patchers, *(vae.patcher for vae in vaes)], memory_required=memory)
    return [component.network for component in components]


def workers() -> int:
    """Windows computed at once: as many as the CPU has threads for, one on a GPU."""
    return pick_workers(mm.get_torch_device())
