"""Checkpoints: one safetensors file is one system, with its configs and provenance in the metadata.

Keys are `component.key`. The metadata holds `format` ("talkface"), `format_version`, `system`, `configs` (JSON:
component -> config) and `provenance` (JSON: data, licence, recipe, steps, measured numbers). A file may be several
systems at once, which share the components of the same name; `system` then names them all ("dae_talker+ladtalk").
Reading never unpickles, maps the file instead of copying it (but what is stored in 8 bits), and refuses whatever is
not exactly what was asked for.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .config import Settings
from .eight_bits import SCALE, packed, packs, scales_in, unpacked
from .errors import InputError
from .plain_json import parse_object
from .tensor_file import EXPECTED, CheckpointError, names_of, opened, read_shapes, refuse, write_tensors

FORMAT = "talkface"
FORMAT_VERSION = 2
"""The newest that is read. A file without weights in 8 bits is still written as the first."""

PRETRAINED = Path(__file__).parent / "pretrained"
JOINED = "+"
"""Stands between the names of the systems that a file is."""

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself, with none of its weights: `shapes[component][key]` are theirs."""

    path: Path
    system: str
    configs: dict[str, dict[str, Any]]
    provenance: dict[str, Any]
    shapes: dict[str, dict[str, tuple[int, ...]]]

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that it is: one, but for files that were joined of several."""
        return tuple(self.system.split(JOINED))

    def check_shapes(self, component: str, wanted: Mapping[str, Tensor]) -> None:
        """Raises CheckpointError unless the component has every key of the state `wanted`, no other, in its shapes."""
        if component not in self.shapes:
            refuse(self.path, f"the components {names_of(self.shapes)}", f"a component {component!r}")
        stored = self.shapes[component]
        for difference, names in (
            ("lacks", wanted.keys() - stored.keys()),
            ("also holds", stored.keys() - wanted.keys()),
        ):
            if names:
                refuse(
                    self.path,
                    f"{component!r} {difference} {names_of(names)}",
                    f"exactly the {len(wanted)} keys of the model",
                )
        for key, shape in stored.items():
            if shape != tuple(wanted[key].shape):
                refuse(self.path, f"{component}.{key} of shape {list(shape)}", f"shape {list(wanted[key].shape)}")

    def config(self, component: str, kind: type[Settings]) -> Settings:
        """The settings of a component. Raises CheckpointError, naming the key, where they are none of this kind."""
        if component not in self.configs:
            raise CheckpointError(f"{self.path}: holds no {component!r}, only {', '.join(self.configs)}.")
        try:
            return kind.from_dict(self.configs[component])
        except InputError as error:
            raise CheckpointError(
                f"{self.path}: found unreadable settings of {component!r} ({error}); expected those that this version "
                "of TalkFace knows."
            ) from error


@dataclass(frozen=True)
class Checkpoint(Header):
    """A checkpoint as read: `states[component][key]` are tensors mapped from the file, in the stored dtype; float16
    where 8 bits are stored."""

    states: dict[str, dict[str, Tensor]]

    def check_weights(self, component: str, wanted: Mapping[str, Tensor]) -> None:
        """Raises CheckpointError unless the component suits the state `wanted` in keys, shapes and kinds of numbers,
        all of them finite."""
        self.check_shapes(component, wanted)
        for key, tensor in self.states[component].items():
            if tensor.is_floating_point() != wanted[key].is_floating_point():
                lost = " without its scales" if tensor.dtype == torch.int8 else ""
                refuse(self.path, f"{component}.{key} of {tensor.dtype}{lost}", f"{wanted[key].dtype}")
            if not _finite(tensor):
                refuse(
                    self.path, f"NaN or infinite weights in {component}.{key}", "finite weights; the training diverged"
                )

    def load_into(self, module: Module, component: str, like: nn.Module | None = None) -> Module:
        """Copy a component's weights into `module`, cast to the module's dtype and device, and return it.

        Strict: every key of the module's state and no other, equal shapes, finite values. The module is changed
        only when all of that holds. `like` is a twin of the module to compare with, for layers of a host that have no
        weights before they are loaded. Raises CheckpointError.
        """
        self.check_weights(component, (like or module).state_dict())
        module.load_state_dict(self.states[component], strict=True)
        return module


def save_checkpoint(
    path: str | Path,
    system: str,
    components: Mapping[str, nn.Module],
    configs: Mapping[str, Mapping[str, Any]],
    provenance: Mapping[str, Any],
    dtype: torch.dtype | None = None,
    eight_bits: Sequence[str] = (),
) -> None:
    """Write the components' states as one file, whole or not at all.

    `configs` has one JSON-able mapping for each component. `dtype` (float16, bfloat16, float32) is what floating
    point weights are stored as; None keeps each tensor's own. `eight_bits`: names or beginnings of names
    ("component.part") whose matrices and kernels are stored in 8 bits. Raises CheckpointError for NaN or infinite
    weights (after the cast), InputError for a wrong call.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: a checkpoint's name ends in .safetensors, not {path.suffix!r}.")
    if components.keys() != configs.keys() or not components or any("." in name or not name for name in components):
        raise InputError(
            f"{path}: one config for each component, names without dots; "
            f"got components {names_of(components)} and configs {names_of(configs)}."
        )
    tensors: dict[str, Tensor] = {}
    storages: set[int] = set()
    for component, module in components.items():
        for key, tensor in module.state_dict().items():
            stored = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None).contiguous()
            # The format has no aliases: tied weights are stored once for each name.
            stored = stored.clone() if stored.untyped_storage().data_ptr() in storages else stored
            storages.add(stored.untyped_storage().data_ptr())
            if not _finite(stored):
                refuse(path, f"NaN or infinite weights in {component}.{key}", f"weights finite in {stored.dtype}")
            name = f"{component}.{key}"
            tensors |= packed(name, tensor) if packs(name, tensor, eight_bits) else {name: stored}
    metadata = {
        "format": FORMAT,
        "format_version": "2" if any(name.endswith(SCALE) for name in tensors) else "1",
        "system": system,
        "configs": json.dumps({name: dict(config) for name, config in configs.items()}, allow_nan=False),
        "provenance": json.dumps(dict(provenance), allow_nan=False),
    }
    write_tensors(path, tensors, metadata)


def read_header(path: str | Path, system: str | None = None) -> Header:
    """What a checkpoint says of itself, for lists: quick, as no weight is touched. `system` and errors as below."""
    path = Path(path)
    stored = read_shapes(path)
    with opened(path) as file:
        metadata = file.metadata() or {}
        try:
            scales = scales_in(stored, lambda name: file.get_slice(name).get_dtype())
        except ValueError as error:
            refuse(path, str(error), "one scale for each channel, F32 [channels] beside I8 [channels, ...]")
    if metadata.get("format") != FORMAT:
        refuse(path, "a safetensors file of another program (its metadata does not name TalkFace)", EXPECTED)
    version = metadata.get("format_version", "")
    known = range(1, FORMAT_VERSION + 1)
    if not re.fullmatch("[0-9]{1,9}", version) or int(version) not in known:
        newer = re.fullmatch("[0-9]{1,9}", version) and int(version) > FORMAT_VERSION
        advice = "; update TalkFace" if newer else ""
        refuse(path, f"format version {version[:20]!r}", f"version {known[0]} to {known[-1]}{advice}")
    stored_system = metadata.get("system", "")
    if not stored_system or (system is not None and system not in stored_system.split(JOINED)):
        refuse(
            path,
            f"a checkpoint of the system {stored_system[:40]!r}",
            f"the system {system!r}" if system else "a named system",
        )
    configs, provenance = (_mapping(path, metadata, name) for name in ("configs", "provenance"))
    if foreign := [name for name, config in configs.items() if not isinstance(config, dict)]:
        refuse(path, f"settings of {names_of(foreign)} that are none", "a JSON object for each component")
    shapes: dict[str, dict[str, tuple[int, ...]]] = {component: {} for component in configs}
    for name, shape in stored.items():
        if name in scales:
            continue
        component, _, key = name.partition(".")
        if component not in shapes:
            refuse(path, f"weights {name!r} of no component", f"keys that begin with {names_of(configs)}")
        shapes[component][key] = shape
    return Header(path, stored_system, configs, provenance, shapes)


def read_checkpoint(path: str | Path, system: str | None = None) -> Checkpoint:
    """Open a checkpoint without copying its weights. `system`: the one it must hold; None takes any.

    Raises CheckpointError for a missing, empty, cut-off, pickled or foreign file, another system, a newer format.
    """
    header = read_header(path, system)
    with opened(header.path) as file:
        names = set(file.keys())

        def tensor(name: str) -> Tensor:
            scaled = name + SCALE in names
            return unpacked(file.get_tensor(name), file.get_tensor(name + SCALE)) if scaled else file.get_tensor(name)

        states = {
            component: {key: tensor(f"{component}.{key}") for key in keys} for component, keys in header.shapes.items()
        }
    return Checkpoint(header.path, header.system, header.configs, header.provenance, header.shapes, states)


def list_checkpoints(folders: Iterable[str | Path] = ()) -> dict[str, Path]:
    """Name -> file of the bundled checkpoints and of those in `folders`; where names agree the earlier one wins."""
    checkpoints: dict[str, Path] = {}
    for folder in (PRETRAINED, *map(Path, folders)):
        for file in sorted(folder.glob("*.safetensors")):
            checkpoints.setdefault(file.stem, file)
    return checkpoints


def find_checkpoint(name_or_path: str | Path, folders: Iterable[str | Path] = ()) -> Path:
    """The file of a bundled checkpoint by its name, else the file at that path. Raises CheckpointError."""
    known = list_checkpoints(folders)
    if str(name_or_path) in known:
        return known[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        refuse(path, found, f"a file or one of the names {names_of(known, most=20)}")
    return path


def _mapping(path: Path, metadata: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        return parse_object(metadata[name])
    except (KeyError, ValueError):
        refuse(path, f"no readable {name!r} in the metadata", "a JSON object")


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
