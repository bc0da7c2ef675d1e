"""Components: the networks that a system's checkpoint holds, one line of a table each, and how one is built from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .checkpoints import Checkpoint, CheckpointError, Header
from .config import Config
from .device import Operations, channels_last
from .errors import InputError


@dataclass(frozen=True)
class Component:
    """A network of a system.

    name: what its weights' keys begin with.
    config: the class of its settings.
    network: makes it of settings and of a namespace of layers (`torch.nn`, or what suits a device or a host better).
    half: whether it may be cast to another type than float32.
    exact: the children that stay float32 all the same.
    streams: a host's layers may fetch and cast its weights as they go; it has `compute_on`.
    for_inference: makes of a trained network, which plain layers hold, what infers, of the layers given.
    """

    name: str
    config: type[Config]
    network: Callable[[Any, Any], nn.Module]
    half: bool = False
    exact: tuple[str, ...] = ()
    streams: bool = False
    for_inference: Callable[[Any, Any], nn.Module] | None = None


Table = Mapping[str, Component]
"""A system's components by name."""


def table(*components: Component) -> Table:
    """A system's components by name."""
    return {component.name: component for component in components}


def build(
    checkpoint: Checkpoint,
    component: Component,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Any:
    """The component with its weights, to infer, cast as it allows. Raises CheckpointError."""
    config = checkpoint.config(component.name, component.config)
    try:
        with torch.device("meta"):
            twin = component.network(config, nn)
    except (ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: found settings of {component.name!r} of which no network can be made ({error}); "
            "expected those that this version of TalkFace knows."
        ) from error
    finish = component.for_inference
    net = component.network(config, nn if finish else operations)
    net = checkpoint.load_into(net, component.name, twin).eval().requires_grad_(False)
    if finish:
        net = finish(net, operations)
    if component.half:
        cast(net, dtype, component.exact)
    return net.to(device)


def build_optional(checkpoint: Checkpoint, component: Component, *options: Any, **named: Any) -> Any | None:
    """The same, None where the checkpoint has no such component."""
    return build(checkpoint, component, *options, **named) if component.name in checkpoint.configs else None


def cast(net: nn.Module, dtype: torch.dtype, exact: tuple[str, ...] = ()) -> None:
    """Cast a network, in the channels-last order that halves like, but for the children named in `exact`."""
    for name, child in net.named_children():
        if name not in exact:
            channels_last(child.to(dtype))
    for tensor in (*net.parameters(recurse=False), *net.buffers(recurse=False)):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)


def problem(header: Header, components: Table) -> str | None:
    """Why a checkpoint would not load, as far as its header tells; None where nothing speaks against it."""
    try:
        for name in header.configs:
            if name not in components:
                return f"holds {name!r}, which is none of {', '.join(components)}"
            header.config(name, components[name].config)
    except InputError as error:
        return str(error)
    return None
