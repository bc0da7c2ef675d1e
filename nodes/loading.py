"""How a component of a checkpoint comes under the host's management, and in what number format."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from comfy_api.latest import io

from ..talkface_core.checkpoints import Checkpoint
from ..talkface_core.components import Component, build
from . import host
from .sockets import advanced

log = logging.getLogger(__name__)


def dtype_input(which: str) -> io.Input:
    """The number format of a loader's networks."""
    return advanced(
        io.Combo.Input(
            "dtype",
            options=["auto", *host.DTYPES],
            default="auto",
            tooltip=f"Number format of {which}. auto: what ComfyUI chooses for a GPU, and bfloat16 on a CPU that is "
            "quicker with it (the log says which), at no visible cost; float32 is the exact one.",
        )
    )


def loaded(
    checkpoint: Checkpoint,
    component: Component,
    dtype: str,
    does: str,
    make: Callable[..., Any] | None = None,
    space: Any = None,
) -> host.Component | None:
    """A component under the host's management, None where the checkpoint has none; `make` builds what it is part of."""
    if component.name not in checkpoint.configs:
        return None
    kept, computed = host.pick_dtype(dtype, checkpoint.states[component.name])
    if not component.streams:
        kept = computed  # small enough to be kept in what is computed in
    operations = host.layers(kept, computed, component.streams)
    network = make(checkpoint, operations, kept) if make else build(checkpoint, component, operations, kept)
    patcher = host.managed(network, component.streams)
    if component.streams:
        network.compute_on(patcher.load_device, computed)
    name = checkpoint.path.stem
    say(f"{name} {does}", dtype, kept, computed)
    return host.Component(patcher, name, space, checkpoint.provenance)


def say(what: str, dtype: str, kept: torch.dtype, computed: torch.dtype) -> None:
    """Tell the log in what number format something is kept and computes, and who chose that."""
    own = "what is quickest here" if host.device().type == "cpu" else "ComfyUI's choice"
    chosen = own if dtype == "auto" else "as asked"
    names = [str(kind).removeprefix("torch.") for kind in (kept, computed)]
    computing = "" if kept == computed else f", computing in {names[1]}"
    log.info("TalkFace: %s in %s%s on %s (%s)", what, names[0], computing, host.device(), chosen)
