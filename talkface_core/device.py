"""The choice of device, number format and layers that networks run with."""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError

DEVICES = ("auto", "cpu", "cuda")

ORDERED = ("cuda",)
"""Kinds of devices that keep an order of their own, so that the host may hand over a tensor and go on."""

Network = TypeVar("Network", bound=nn.Module)

log = logging.getLogger(__name__)

_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
_SMALL_MAP = 1024  # pixels
_PAYS = 0.8
"""How many times as fast as float32 bfloat16 has to seem: emulated it is several times slower, and what else a machine
does at that moment must not decide."""
_TRIALS = 5


class Operations(Protocol):
    """The layers that networks are built of: torch.nn, or others of its signatures, such as a host's, which cast."""

    Conv1d: Any
    Conv2d: Any
    Conv3d: Any
    ConvTranspose2d: Any
    Linear: Any
    GroupNorm: Any
    LayerNorm: Any


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes a CUDA GPU if torch finds one. Raises InputError."""
    if name not in DEVICES:
        raise InputError(f"device {name!r} is unknown: choose one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda': torch finds no CUDA GPU here; choose auto or cpu, or install torch for CUDA")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def pick_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has units for it (AMX, AVX-512 BF16, Ampere and later) that work, else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    # Without such instructions oneDNN emulates bfloat16, several times slower than float32.
    native = any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return torch.bfloat16 if device.type == "cpu" and native and bfloat16_gain() >= _PAYS else torch.float32


def pick_place(device: str | torch.device, dtype: torch.dtype | None) -> tuple[torch.device, torch.dtype]:
    """Where and in what a model computes: a device, or one by its name, and a type, None for what suits the device.

    Raises InputError as `pick_device` does.
    """
    device = pick_device(device) if isinstance(device, str) else device
    return device, pick_dtype(device) if dtype is None else dtype


@cache
def bfloat16_gain() -> float:
    """How many times as fast as float32 this CPU convolves in bfloat16: measured once, in a fraction of a second.

    What a CPU says of itself does not tell: a virtual machine may not be let to its matrix units.
    """
    dtypes = (torch.float32, torch.bfloat16)
    seconds = dict.fromkeys(dtypes, float("inf"))
    with torch.inference_mode():
        # In turn, so that other work on the machine slows both.
        for dtype in dtypes * _TRIALS:
            # Ones, and no layer: a layer would draw its weights, and seeds that others set would give other numbers.
            pixels, weight = torch.ones(2, 64, 64, 64, dtype=dtype), torch.ones(64, 64, 3, 3, dtype=dtype)
            given = [part.contiguous(memory_format=torch.channels_last) for part in (pixels, weight)]
            seconds[dtype] = min(seconds[dtype], _convolved(*given))
    gain = seconds[torch.float32] / seconds[torch.bfloat16]
    log.info("this CPU convolves %.1f times as fast in bfloat16 as in float32", gain)
    return gain


def _convolved(pixels: Tensor, weight: Tensor) -> float:
    """Seconds that a convolution takes."""
    start = time.perf_counter()
    F.conv2d(pixels, weight, padding=1)
    return time.perf_counter() - start


def pick_layers(device: torch.device, dtype: torch.dtype) -> Any:
    """The `operations` to build a network with: torch.nn, or layers of the same weights that suit the device better."""
    return HALF_ON_CPU if device.type == "cpu" and dtype != torch.float32 else nn


def channels_last(net: Network) -> Network:
    """The same network, its weights in the order that convolutions are quickest in."""
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.ndim in _LAST:
            tensor.data = tensor.data.contiguous(memory_format=_LAST[tensor.ndim])
    return net


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Within it nothing is cast by itself; on a device that never does so (DirectML) there is nothing to switch off."""
    try:
        return torch.autocast(device.type, enabled=False)
    except (AssertionError, RuntimeError):  # torch's words for a device without automatic casts
        return nullcontext()


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor that the host made, on a device; where that keeps an order of its own, without waiting for it."""
    return tensor.to(device, non_blocking=device.type in ORDERED)


class SmallMapGroupNorm(nn.GroupNorm):
    """GroupNorm whose small half-precision maps pass through float32.

    In channels-last order torch's CPU kernel takes maps below 32 x 32 one value at a time in half precision: there the
    detour is four times as fast.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, ...] -> the same shape and dtype."""
        if x.dtype == torch.float32 or x[0, 0].numel() >= _SMALL_MAP:
            return super().forward(x)
        weight, bias = self.weight.float(), self.bias.float()
        return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


HALF_ON_CPU = SimpleNamespace(
    Conv1d=nn.Conv1d,
    Conv2d=nn.Conv2d,
    Conv3d=nn.Conv3d,
    ConvTranspose2d=nn.ConvTranspose2d,
    Linear=nn.Linear,
    GroupNorm=SmallMapGroupNorm,
    LayerNorm=nn.LayerNorm,
)
