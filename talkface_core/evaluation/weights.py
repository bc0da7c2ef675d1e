"""Instruments whose weights a user brings: which a file is, by what it holds, and the instrument made of it.

Files are torchvision's VGG-16 and AlexNet (LPIPS), FID's InceptionV3 and pytorch-i3d's I3D, as .pth or converted to
.safetensors with the same names, and OpenCV's SFace as .onnx. Nothing pickled is loaded, no program is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoints import opened, read_header, read_shapes
from ..errors import InputError
from ..foreign import module_state, refuse
from ..lpips import ALEX_FILE, LPIPS, VGG_FILE, backbone_of
from . import i3d, inception, sface

EXPECTED = (
    f"weights of an instrument: {sface.FILE}, {VGG_FILE}, {ALEX_FILE}, {inception.FILE}, {i3d.FILE} "
    "(docs/public_weights.md)"
)
_SAFE = ".safetensors"

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Instrument:
    """part: the field of `Kit` that it becomes; title; is_it: whether a state is its, by shapes; load: makes it of a
    file, its state and a device."""

    part: str
    title: str
    is_it: Callable[[Shapes], bool]
    load: Callable[[Path, Mapping[str, Tensor], torch.device | str], Any]


def recognised(path: str | Path) -> Instrument:
    """Which instrument a file holds. Raises InputError for a file of none."""
    path = Path(path)
    if sface.is_onnx(path):
        sface.check_published(path)
        return SFACE
    shapes = read_shapes(path, EXPECTED) if path.suffix == _SAFE else _shapes(module_state(path, EXPECTED))
    for instrument in OF_STATES:
        if instrument.is_it(shapes):
            return instrument
    if path.suffix == _SAFE:
        _refuse_ours(path)
    refuse(path, f"weights of another network ({len(shapes)} tensors)", EXPECTED)


def all_recognised(paths: Sequence[str | Path]) -> dict[str, Instrument]:
    """Each file's instrument. Raises InputError for a file of none, and for two of one."""
    found: dict[str, Instrument] = {}
    for path in map(str, paths):
        instrument = recognised(path)
        if (other := next((name for name, held in found.items() if held is instrument), None)) is not None:
            raise InputError(f"{other} and {path} are both {instrument.title}; give one of them")
        found[path] = instrument
    return found


def load_instrument(path: str | Path, device: torch.device | str = "cpu") -> tuple[str, Any]:
    """The field of `Kit` and what belongs there. Raises InputError for a file of no instrument, for weights that do not
    fit or are no finite numbers."""
    path = Path(path)
    instrument = recognised(path)
    state = {} if instrument is SFACE else _state(path)
    # The classifiers of VGG-16 and AlexNet, most of their files, are not needed, so they are not read.
    needed = (value for key, value in state.items() if not key.startswith("classifier."))
    if not all(bool(value.isfinite().all()) for value in needed if value.is_floating_point()):
        refuse(path, "weights that are no finite numbers", instrument.title)
    return instrument.part, instrument.load(path, state, device)


def _lpips(path: Path, state: Mapping[str, Tensor], device: torch.device | str) -> Callable[..., Tensor]:
    net = LPIPS.of(path, state).to(device)

    @torch.no_grad()
    def distances(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> Tensor:
        a, b = (rearrange(torch.from_numpy(np.array(x)), "t h w c -> t c h w") for x in (generated, real))
        return net.distances(a.to(device) / 127.5 - 1, b.to(device) / 127.5 - 1).cpu()

    return distances


SFACE = Instrument("embed", "SFace", lambda _: False, lambda path, *_: sface.load_sface(path))
OF_STATES = (
    Instrument("lpips", "VGG-16 of LPIPS", lambda shapes: backbone_of(shapes) == "vgg", _lpips),
    Instrument("lpips_alex", "AlexNet of LPIPS", lambda shapes: backbone_of(shapes) == "alex", _lpips),
    Instrument("frame_features", "the InceptionV3 of FID", inception.is_inception, inception.load_inception),
    Instrument("video_features", "the I3D of FVD", i3d.is_i3d, i3d.load_i3d),
)
"""Those of files of tensors."""


def _shapes(state: Mapping[str, Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix != _SAFE:
        return module_state(path, EXPECTED)
    with opened(path, EXPECTED) as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def _refuse_ours(path: Path) -> None:
    """Raises InputError that says which flag takes a checkpoint of ours."""
    try:
        system = read_header(path).system
    except InputError:
        return
    flag = "--evaluator" if system == "sync_evaluator" else "--model"
    refuse(path, f"a checkpoint of {system}, which {flag} takes", EXPECTED)
