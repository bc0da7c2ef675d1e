"""The only module that talks to the host: its folders, models under its management, progress, interrupt, memory.

Facts behind the calls hold for ComfyUI 0.3.64 and 0.33.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import comfy.model_management as mm
import comfy.model_patcher
import comfy.ops
import comfy.utils
import folder_paths
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from ..talkface_core.checkpoints import CheckpointError, list_checkpoints, read_header
from ..talkface_core.device import pick_layers
from ..talkface_core.errors import InputError
from ..talkface_core.media.source import AudioSource
from ..talkface_core.memory import count_as_out_of_memory
from ..talkface_core.parallel import pick_workers
from ..talkface_core.pixels import to_bytes

log = logging.getLogger(__name__)

count_as_out_of_memory(mm.OOM_EXCEPTION)

MODELS = "talkface"
SAMPLES = Path(__file__).parents[1] / "samples"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_SAMPLE = " [sample]"
_PREVIEW = 512  # pixels
_GIB = 2**30

Chunk = TypeVar("Chunk", bound=Sized)
Frame = Tensor | NDArray[np.generic]


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


# Models


def register_models_folder() -> None:
    """models/talkface, beside what extra_model_paths.yaml may name for it; only .safetensors are listed."""
    own = os.path.join(folder_paths.models_dir, MODELS)
    folder_paths.add_model_folder_path(MODELS, own, is_default=True)
    paths, _ = folder_paths.folder_names_and_paths[MODELS]
    folder_paths.folder_names_and_paths[MODELS] = (paths, {".safetensors"})


def checkpoint_names(system: str) -> list[str]:
    """The bundled checkpoints of a system, then the files in the models folders that are or may be of it."""
    bundled = [name for name, path in list_checkpoints().items() if _may_be(path, system, default=False)]
    files = {name: folder_paths.get_full_path(MODELS, name) for name in folder_paths.get_filename_list(MODELS)}
    # The host gives no path for a link that leads nowhere.
    return bundled + [name for name, path in files.items() if path and _may_be(path, system, default=True)]


def checkpoint_path(name: str, system: str) -> Path:
    """The file of a listed name; no other path is opened, whatever a workflow says. Raises InputError.

    `system` is that of the names that the error offers instead.
    """
    bundled = list_checkpoints()
    if name in bundled:
        return bundled[name]
    if name in folder_paths.get_filename_list(MODELS) and (path := folder_paths.get_full_path(MODELS, name)):
        return Path(path)
    folder = os.path.join(folder_paths.models_dir, MODELS)
    raise InputError(
        f"checkpoint {name!r} is not there: put it into {folder} and press R in the page, or choose one of "
        f"{', '.join(checkpoint_names(system))}"
    )


def _may_be(path: str | os.PathLike[str], system: str, default: bool) -> bool:
    try:
        return read_header(path).system == system
    except (CheckpointError, OSError) as error:
        _tell_once(f"TalkFace: {' '.join(str(error).split())}")
        return default  # a damaged file stays in the list: choosing it tells what is wrong with it


@cache
def _tell_once(line: str) -> None:
    # The page asks for the lists again and again.
    log.warning(line)


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


# Progress and interrupt


def check_interrupt() -> None:
    """Raises the host's exception if the user has pressed cancel."""
    mm.throw_exception_if_processing_interrupted()


class Progress:
    """The node's progress bar: `total` frames, with the newest frame as preview. Cancels what runs beside it."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._bar = comfy.utils.ProgressBar(total)
        self._stopped = threading.Event()

    def callback(self, *_: Any) -> None:
        """For samplers, which may run in threads of their own: ends them as soon as the user cancels.

        The host forgets the wish to cancel once one thread has heard it, so it is only looked at here.
        """
        if self._stopped.is_set() or mm.processing_interrupted():
            raise mm.InterruptProcessingException()

    def reach(self, done: int, frame: Frame | None = None) -> None:
        """So many are done; `frame` [H, W, 3], uint8 or 0..1, is shown. Ends the work if the user cancels."""
        self._tell(done, frame)
        check_interrupt()

    def _tell(self, done: int, frame: Frame | None) -> None:
        self.done = done
        preview = None if frame is None else ("JPEG", _picture(frame), _PREVIEW)
        self._bar.update_absolute(done, self.total, preview)

    def follow(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The same chunks; each moves the bar by its length, and frames [n, H, W, 3], uint8 or 0..1, are shown."""
        try:
            with closing(chunks):
                for chunk in chunks:
                    self._tell(self.done + len(chunk), chunk[-1] if getattr(chunk, "ndim", 0) == 4 else None)
                    yield chunk
                    check_interrupt()
        finally:
            self._stopped.set()


def gather(chunks: Iterator[Tensor], total: int) -> Tensor:
    """Chunks of frames 0..1 as one IMAGE [total, H, W, 3] on the host's intermediate device, filled as they come.

    Whether it fits into memory is `check_room`'s to tell, before anything is computed.
    Raises RuntimeError where the chunks hold more or fewer frames than `total`.
    """
    images: Tensor | None = None
    done = 0
    with closing(chunks):
        for chunk in chunks:
            if images is None:
                images = _room(total, tuple(chunk.shape[1:]))
            images[done : done + len(chunk)] = chunk
            done += len(chunk)
    if images is None or done != total:
        raise RuntimeError(f"{done} of {total} frames were made")
    return images


STREAM = "use the node Talking Video, which writes frames to disk as they come, or a shorter duration"


def check_room(frames: int, height: int, width: int, instead: str = STREAM) -> None:
    """Raises InputError, naming the numbers, if an IMAGE of so many frames would not fit into free memory.

    `instead` says what to change.
    """
    device, need = mm.intermediate_device(), 4.0 * frames * height * width * 3
    free = mm.get_free_memory(device)
    if need > 0.9 * free:
        raise InputError(
            f"{frames} frames of {width} x {height} need {need / _GIB:.1f} GiB as IMAGE and {free / _GIB:.1f} GiB are "
            f"free: {instead}"
        )


def gather_sound(source: AudioSource) -> Tensor:
    """A whole sound as a waveform [1, C, N].

    Raises InputError, naming the numbers, as soon as it is too long for free memory: a small file may hold a day.
    """
    free, blocks, gathered = mm.get_free_memory(torch.device("cpu")), [], 0
    for block in source.blocks():
        blocks.append(block)
        gathered += block.nbytes
        if 2 * gathered > 0.9 * free:  # once in pieces and once joined
            seconds = gathered / (4 * source.channels * source.sample_rate)
            raise InputError(
                f"the first {seconds:.0f} s of {source.name} need {2 * gathered / _GIB:.1f} GiB as AUDIO and "
                f"{free / _GIB:.1f} GiB are free: give a shorter duration"
            )
    return torch.cat(blocks, dim=1)[None]


def _room(frames: int, shape: tuple[int, ...]) -> Tensor:
    dtype = getattr(mm, "intermediate_dtype", lambda: torch.float32)()
    return torch.empty((frames, *shape), dtype=dtype, device=mm.intermediate_device())


def _picture(frame: Frame) -> Image.Image:
    frame = frame if isinstance(frame, Tensor) else torch.from_numpy(np.ascontiguousarray(frame))
    return Image.fromarray(to_bytes(frame).cpu().numpy())


class Interruptible(AudioSource):
    """The same sound; reading it stops when the user cancels."""

    def __init__(self, source: AudioSource, check: Callable[[], None] = check_interrupt) -> None:
        self._source, self._check = source, check
        self.sample_rate, self.channels, self.layout = source.sample_rate, source.channels, source.layout
        self.name, self.path = source.name, source.path

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        for block in self._source.blocks(seconds):
            self._check()
            yield block

    def num_samples(self) -> int:
        return self._source.num_samples()


# Files


def input_files(kinds: list[str]) -> list[str]:
    """Names of the files in the host's input folder of these content types, then of the pack's own samples.

    The samples come kind after kind, as `kinds` names them: a fresh install starts with the first.
    """
    folder = folder_paths.get_input_directory()
    names = [name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))]
    samples = sorted(path.name for path in SAMPLES.iterdir())
    own = [name for kind in kinds for name in folder_paths.filter_files_content_types(samples, [kind])]
    return sorted(folder_paths.filter_files_content_types(names, kinds)) + [name + _SAMPLE for name in own]


def input_file(name: str) -> Path:
    """The file that a workflow names, in the host's input, output or temp folder or among the pack's samples.

    Raises InputError for a name that leads elsewhere, and for one that is not there.
    """
    if not isinstance(name, str) or not name:
        raise InputError("no file is chosen: upload one, or pick one from the list")
    if name.endswith(_SAMPLE):
        base, path = SAMPLES, SAMPLES / name.removesuffix(_SAMPLE)
    else:
        plain, chosen = folder_paths.annotated_filepath(name)
        base = Path(chosen or folder_paths.get_input_directory())
        path = base / plain
    # As the host compares them: a link that the user put into the folder is the user's own choice.
    root, wanted = os.path.abspath(base), os.path.abspath(path)
    if os.path.splitdrive(root)[0] != os.path.splitdrive(wanted)[0] or os.path.commonpath([root, wanted]) != root:
        raise InputError(f"{name!r} lies outside the host's own folders and is not opened: upload the file instead")
    if not os.path.isfile(wanted):
        raise InputError(f"{name!r} is not in the host's input folder: upload it, or choose another file")
    return Path(wanted)


def serve_samples() -> None:
    """Lets the page play the pack's samples: its players ask /view for them, which knows the host's folders only.

    /view is the host's, and a second route of that name would never be asked, so this stands before the routes.
    """
    from aiohttp import web  # here, as only a running server has them
    from server import PromptServer

    @web.middleware
    async def sample(request: Any, handler: Callable[[Any], Any]) -> Any:
        name = request.query.get("filename", "")
        if request.path not in ("/view", "/api/view") or not name.endswith(_SAMPLE):
            return await handler(request)
        file = next((path for path in SAMPLES.iterdir() if path.name == name.removesuffix(_SAMPLE)), None)
        return web.Response(status=404) if file is None else web.FileResponse(file)

    if (running := getattr(PromptServer, "instance", None)) is not None:
        running.app.middlewares.append(sample)


def fingerprint(path: Path) -> str:
    """Changes when the file does."""
    stat = path.stat()
    return f"{path} {stat.st_size} {stat.st_mtime_ns}"


def temp_file(suffix: str) -> Path:
    """A name that nothing else takes, in the host's temp folder, which the host empties when it starts and ends."""
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"talkface_{uuid.uuid4().hex[:12]}{suffix}"
