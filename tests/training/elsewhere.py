"""A device that is not there: tensors that say they lie on `DEVICE` and hold their numbers on the CPU.

So what a GPU would refuse, and what would make the host wait for it, is found on any machine, and with true numbers:
drawing and saving run to their ends.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")

# What looks at numbers on the host, whatever its result is used for.
_LOOKING = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "masked_select", "bincount"),
    *("_unique", "_unique2", "unique_dim", "unique_consecutive", "_linalg_check_errors", "repeat_interleave"),
}


class Elsewhere(Tensor):
    """A tensor on `DEVICE`; `here` holds its numbers."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> "Elsewhere":
        self = Tensor._make_wrapper_subclass(
            *(cls, here.shape),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
        )
        self.here = here
        return self

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        with OtherDevice():
            return func(*args, **(kwargs or {}))


class OtherDevice(TorchDispatchMode):
    """While active there is a device `DEVICE`; `waits` names what made the host wait for it.

    Raises RuntimeError where tensors of both devices meet, as CUDA does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if _is_composite(func):
            # In inference mode these come before they are taken apart.
            with self:
                return func.decompose(*args, **kwargs)
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        away = [isinstance(tensor, Elsewhere) for tensor in tensors]
        there = any(away)
        if name in ("_to_copy", "copy_"):
            there = isinstance(args[0], Elsewhere) if name == "copy_" else _target(args, kwargs)
            if there != away[-1] and not (there and _non_blocking(args, kwargs)):
                self.waits.append(f"{name} to the {'device' if there else 'host'}")
        elif kwargs.get("device") is not None and not tensors:
            there = torch.device(kwargs["device"]) == DEVICE
        elif there and any(not a and tensor.ndim for a, tensor in zip(away, tensors, strict=True)):
            if name not in ("index", "index_put", "index_put_", "_index_put_impl_") or not away[0]:
                raise RuntimeError(f"{name}: tensors of the CPU and of the device meet")
            self.waits.append(f"{name} by indexes of the host")
        if any(away) and (name in _LOOKING or (name.startswith("index") and _by_mask(args))):
            self.waits.append(name)
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        inner = tree_map(_here, (args, kwargs))
        out = func(*inner[0], **inner[1])
        if not there:
            return out
        out = tree_map(lambda leaf: Elsewhere(leaf) if isinstance(leaf, Tensor) else leaf, out)
        return return_and_correct_aliasing(func, args, kwargs, out) if any(away) else out


def move(module: nn.Module) -> None:
    """Take a network to `DEVICE`, within `OtherDevice`; its weights become other objects."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        module.to(DEVICE)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


@cache
def _is_composite(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _here(leaf: Any) -> Any:
    return leaf.here if isinstance(leaf, Elsewhere) else leaf


def _target(args: tuple, kwargs: Mapping[str, Any]) -> bool:
    device = kwargs.get("device")
    return isinstance(args[0], Elsewhere) if device is None else torch.device(device) == DEVICE


def _non_blocking(args: tuple, kwargs: Mapping[str, Any]) -> bool:
    return bool(kwargs.get("non_blocking") or (len(args) > 2 and args[2]))


def _by_mask(args: tuple) -> bool:
    indexes = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indexes)
