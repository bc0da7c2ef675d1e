"""Files that a workflow names, in the host's folders and among the pack's samples, and temporary ones."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folder_paths

from ...talkface_core.errors import InputError

SAMPLES = Path(__file__).parents[2] / "samples"

_SAMPLE = " [sample]"


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


def output_folder(*names: str) -> Path:
    """A folder below the host's output folder, which need not be there yet; the names are no paths."""
    return Path(folder_paths.get_output_directory()).joinpath(*names)


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
