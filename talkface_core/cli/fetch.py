"""`models --fetch NAME`: says what public weights are, asks, fetches them, and converts them with the converters."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from ..atomic import whole_file
from ..errors import InputError
from .conversions import convert
from .download import download
from .public_file import PublicWeights
from .public_weights import size_text

PACK = Path(__file__).resolve().parents[2]

Ask = Callable[[str], bool]


def fetch(weights: PublicWeights, output: str | Path | None, ask: Ask, quiet: bool = False) -> Path:
    """Fetch and convert, and return the file that came of it.

    output: a .safetensors file, or one of the published kind where it is used as it comes; None: NAME.safetensors, or
    the published name, in the host's folder of models if the pack lies in a host, else here. `ask` is told what would
    be fetched and says whether. A download that broke off is gone on with by the next
    call; what is fetched is removed once it is converted, or found wrong. Raises InputError.
    """
    target = Path(output) if output is not None else _default(weights)
    if not weights.fetchable:
        names = ", ".join(file.name for file in weights.files)
        raise InputError(
            f"{weights.name} is published where only a browser gets it: take {names} from {weights.page} "
            f"({weights.licence}: {weights.terms}), then models --convert {weights.files[0].name} -o {target.name}"
        )
    suffix = ".safetensors" if weights.system else Path(weights.files[0].name).suffix
    if target.suffix != suffix:
        raise InputError(f"{target}: the name of {weights.name} ends in {suffix}, not {target.suffix!r}.")
    if target.exists():
        raise InputError(f"{target} is there already; remove it, or name another with -o")
    if not target.parent.is_dir():
        raise InputError(f"output folder {target.parent} does not exist; create it first or choose another")
    # What is fetched and what is made of it lie there at once; the latter is never the larger one.
    needed = weights.size * (2 if weights.system else 1)
    if (free := shutil.disk_usage(target.parent).free) < needed:
        raise InputError(
            f"{target.parent}: {size_text(needed)} are needed on the disk, {size_text(free, exact=True)} are free"
        )
    if not ask(f"{describe(weights)}\ninto: {target}"):
        raise InputError(f"{weights.name} was not fetched, as you said")
    folder = target.with_name(f".{target.stem}.fetched")
    with _alone(folder):
        with tqdm(total=weights.size, unit="B", unit_scale=True, desc=weights.name, disable=quiet) as bar:
            try:
                paths = [download(file, folder, bar.update) for file in weights.files]
            except InputError as error:
                raise InputError(f"{error}; its page is {weights.page}") from error
        # What is fetched is worth keeping while it is not converted, but not if it cannot be.
        try:
            if weights.system:
                convert([str(path) for path in paths], target)
            else:
                with whole_file(target) as part:
                    paths[0].replace(part)
        except InputError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
    return target


def describe(weights: PublicWeights) -> str:
    """What they are, in lines for people."""
    files = [f"  {file.url}  {size_text(file.size, file.exact)}" for file in weights.files]
    count = f"{len(files)} file" + "s" * (len(files) > 1)
    checked = sum(bool(file.sha256) for file in weights.files)
    lines = [
        f"{weights.name}: {weights.gives}",
        f"licence: {weights.licence} ({weights.terms}), see {weights.page}",
        f"size: {size_text(weights.size, weights.exact)}, {count}; {checked} checked by sha256",
    ]
    lines += [f"on one core of a CPU: {weights.measured}"] if weights.measured else []
    return "\n".join([*lines, *files])


def ask_on_terminal(text: str) -> bool:
    """Print the text and ask; only a clear yes counts. Raises InputError where nobody can answer."""
    print(text, file=sys.stderr)
    if not sys.stdin.isatty():
        raise InputError("--fetch asks before it fetches: add --yes where nobody can answer")
    print("fetch it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _default(weights: PublicWeights) -> Path:
    """Where the host looks, if the pack lies among its custom nodes, else here."""
    name = f"{weights.name}.safetensors" if weights.system else weights.files[0].name
    models = PACK.parent.parent / "models"
    if PACK.parent.name == "custom_nodes" and models.is_dir():
        folder = models / weights.models
        folder.mkdir(exist_ok=True)
        return folder / name
    return Path(name)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A folder of downloads that one process at a time writes to; without any it does not stay."""
    import psutil

    folder.mkdir(exist_ok=True)
    lock = folder / "lock"
    owner = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    if owner.isdigit() and int(owner) != os.getpid() and psutil.pid_exists(int(owner)):
        raise InputError(f"{folder}: another process ({owner}) fetches into it; wait for it")
    lock.write_text(str(os.getpid()), encoding="utf-8")
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        if folder.is_dir() and all(path.suffix == ".etag" for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
