"""A real ComfyUI server for the tests: found on this machine, started apart from everything the user has, and ended.

Nothing is written into the host's checkout: the server has a base folder of its own, and meets the pack as a copy that
lies alone in a folder named by `extra_model_paths`, which also names a second folder of the pack's checkpoints.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from .client import Client

ROOT = Path(__file__).parents[2]
PACK = "talkface"
NEEDED = ("torch", "aiohttp", "yaml", "einops", "safetensors", "av", "tqdm", "psutil", "soxr")
"""Modules of the host and of the pack without which no server with the pack can run."""

TRAINING = ("accelerate", "scipy", "torchmetrics")
"""Modules of requirements-train.txt, which a host has only where somebody trains."""

NOT_PACK = (".*", "__pycache__", "*.pyc", "*.part", "*.egg-info", "node_modules", "tests", "benchmarks", "runs")
FOLDERS = ("custom_nodes", "input", "output", "temp", "user", "models")
START_SECONDS = 600


class NoHost(Exception):
    """There is no host that could run the pack; the message is the reason to skip."""


@dataclass(frozen=True)
class Host:
    """A ComfyUI checkout and the Python that runs it."""

    path: Path
    python: Path

    @classmethod
    def find(cls) -> Host:
        """The one at COMFYUI_PATH, else at ~/comfy/ComfyUI. Raises NoHost."""
        named = os.environ.get("COMFYUI_PATH")
        path = Path(named or "~/comfy/ComfyUI").expanduser().resolve()
        if not (path / "main.py").is_file() or not (path / "comfy_api").is_dir():
            raise NoHost(f"no ComfyUI at {path}: set COMFYUI_PATH to a checkout (0.3.64 or later)")
        own = [path / ".venv" / "bin" / "python", path / ".venv" / "Scripts" / "python.exe"]
        python = next((file for file in own if file.is_file()), Path(sys.executable))
        missing = missing_modules(python, NEEDED)
        if missing:
            raise NoHost(f"{python} lacks {', '.join(missing)}: install ComfyUI's and TalkFace's requirements there")
        return cls(path, python)


def missing_modules(python: Path, needed: Sequence[str]) -> list[str]:
    """Which modules a Python does not have."""
    script = f"import importlib.util as u; print(*[m for m in {tuple(needed)!r} if u.find_spec(m) is None])"
    asked = subprocess.run([python, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    return asked.stdout.split()


def cannot_train(python: Path) -> str | None:
    """Why a host's Python cannot run Train Your Person, and the command that mends it; None where it can."""
    if missing := missing_modules(python, TRAINING):
        command = f"{python} -m pip install -r {ROOT / 'requirements-train.txt'}"
        return f"the host lacks {', '.join(missing)}, which training needs; to run this: {command}"
    return None


def environment() -> dict[str, str]:
    """The environment of a server: this one's, without what belongs to the tests' own Python."""
    own = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: value for name, value in os.environ.items() if name not in own and not name.startswith("PYTEST")}


def copy_pack(folder: Path) -> Path:
    """The pack as somebody gets it, alone in `folder`: without tests, caches and runs."""
    return Path(shutil.copytree(ROOT, folder / PACK, ignore=shutil.ignore_patterns(*NOT_PACK)))


class Server:
    """A running server with the pack in `packs`, its files below `base`, `variables` added to its environment.

    Use as a context manager.
    """

    def __init__(self, host: Host, packs: Path, base: Path, **variables: str) -> None:
        self.host, self.packs, self.base = host, packs, base
        self._environment = {**environment(), **variables}
        for name in FOLDERS:
            (base / name).mkdir(parents=True)
        self.input, self.output, self.temp = (base / name for name in ("input", "output", "temp"))
        self.models, self.elsewhere = base / "models", base / "elsewhere"
        self.elsewhere.mkdir()
        self._log = base / "server.log"

    def __enter__(self) -> Server:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [self.host.python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port)]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--base-directory", self.base]
        command += ["--database-url", f"sqlite:///{self.base.as_posix()}/user/comfyui.db"]
        paths = self.base / "packs.yaml"
        folders = {"custom_nodes": self.packs, PACK: self.elsewhere}
        lines = [f"    {kind}: {folder.as_posix()}\n" for kind, folder in folders.items()]
        paths.write_text("".join(["tests:\n", *lines]), encoding="utf-8")
        command += ["--extra-model-paths-config", paths]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command], cwd=self.host.path, env=self._environment, stdout=log, stderr=log
            )
        self.client = Client(f"127.0.0.1:{port}")
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes():
            process.kill()
        self._process.wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self.client.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server did not come up; its log:\n{self.log()}")
            time.sleep(0.1)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        """All that the server printed so far, coloured output and progress bars included."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def rss(self) -> int:
        """Bytes of memory that the server and its children hold."""
        return sum(process.memory_info().rss for process in self._processes())

    def leftovers(self) -> set[Path]:
        """Files below output and temp."""
        return {path for folder in (self.output, self.temp) for path in folder.rglob("*") if path.is_file()}

    def _processes(self) -> list[psutil.Process]:
        try:
            own = psutil.Process(self._process.pid)
            return [*own.children(recursive=True), own]
        except psutil.NoSuchProcess:
            return []
