"""Components: the networks that a system's checkpoint holds, one line of a table each, and how one is built from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)
from torch.overrides import TorchFunctionMode

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
    config, twin = _twin(checkpoint, component)
    finish = component.for_inference
    with _Unfilled():
        net = component.network(config, nn if finish else operations)
    net = checkpoint.load_into(net, component.name, twin).eval().requires_grad_(False)
    if finish:
        net = finish(net, operations)
    if component.half:
        cast(net, dtype, component.exact)
    return net.to(device)


def _twin(header: Header, component: Component) -> tuple[Any, nn.Module]:
    """The settings and the network that they make, without memory, once its weights are known to be the stored ones.

    Settings are a stranger's word: nothing is built of them that is larger than the file. Raises CheckpointError.
    """
    config = header.config(component.name, component.config)
    try:
        # Some networks register a weight, then the one that takes its place.
        with torch.device("meta"), _at_most(2 * len(header.shapes[component.name]) + 8):
            twin = component.network(config, nn)
    except (ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, AssertionError, MemoryError) as error:
        raise CheckpointError(
            f"{header.path}: found settings of {component.name!r} of which no network can be made "
            f"({str(error)[:200]}); expected those that this version of TalkFace knows."
        ) from error
    header.check_shapes(component.name, twin.state_dict())
    return config, twin


@contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Within it this thread makes no networks of more weights and buffers, or of empty ones: raises ValueError."""
    thread, built = threading.get_ident(), 0

    def count(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        nonlocal built
        if tensor is None or threading.get_ident() != thread:
            return
        built += 1
        if built > tensors:
            raise ValueError("far more weights than the file holds")
        if not tensor.numel():
            raise ValueError(f"{type(module).__name__}.{name} of shape {list(tensor.shape)}")

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Unfilled(TorchFunctionMode):
    """Within it layers draw no first weights, which takes long and moves the seed of others: stored ones follow."""

    def __torch_function__(
        self, function: Callable[..., Any], kinds: Any, args: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if getattr(function, "__module__", None) == nn.init.__name__:
            return named.get("tensor", args[0] if args else None)
        return function(*args, **named)


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


def problem(checkpoint: Checkpoint, components: Table) -> str | None:
    """Why a checkpoint would not load; None where it would. Every weight is read, but no network is made."""
    try:
        for name in checkpoint.configs:
            if name not in components:
                return f"holds {name!r}, which is none of {', '.join(components)}"
            _, twin = _twin(checkpoint, components[name])
            checkpoint.check_weights(name, twin.state_dict())
    except InputError as error:
        return str(error)
    return None
