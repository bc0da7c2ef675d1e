"""How a benchmark ends: what its user can mend is one line and exit status 2, as in the command line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from talkface_core.cli.common import WRONG_INPUT, first_line, told
from talkface_core.errors import InputError

_OURS = ("benchmarks", "talkface_core")


def run_program(main: Callable[[], int | None]) -> NoReturn:
    """Run a script's `main` and exit with what it returns; with a traceback only for a bug of ours."""
    try:
        status = main()
    except Exception as error:
        if (message := _told(error)) is None:
            raise
        print(f"{Path(sys.argv[0]).stem}: {first_line(message)}", file=sys.stderr)
        status = WRONG_INPUT
    sys.exit(status)


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """The files of a folder whose names end so (".flac"), by name. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]
    if not files:
        raise InputError(f"{folder}: holds no file that ends in {' or '.join(suffixes)}")
    return files


def _told(error: Exception) -> str | None:
    """The same as in the command line, and what scripts besides stand on: other programs, and modules to be brought."""
    if isinstance(error, subprocess.CalledProcessError):
        command = error.cmd if isinstance(error.cmd, str) else shlex.join(map(str, error.cmd))
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr or ""
        why = f": {said.strip().splitlines()[-1]}" if said.strip() else ""
        return f"{command[:300]} ended with status {error.returncode}{why}"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] not in _OURS:
        return f"the module {error.name!r} is not there: give the folder that holds it, or install its package"
    return told(error)
