"""Installs what the pack needs beside what is there: `python install.py`, with the Python that is to run the pack.

Nothing that is installed moves. A second OpenCV is not installed, and where two are they become one again: each is
copied over the other, and functions of cv2 are missing without a word. ComfyUI-Manager runs this file by itself after
`pip install` of each line of requirements.txt, which knows nothing of an OpenCV of another name.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import invalidate_caches, metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # the Python of Windows portable does not look beside the script

from talkface_core.installed import opencv_packages, opencv_repair, opencv_warning  # noqa: E402

TOOLS = ("pip", "setuptools", "wheel")


def main() -> int:
    """Returns 0, or pip's exit status where it failed."""
    try:
        install_missing()
        repair_opencv()
    except subprocess.CalledProcessError as error:
        print(f"talkface: {subprocess.list2cmdline(error.cmd)} failed: its last lines tell why", file=sys.stderr)
        return error.returncode
    return 0


def requirements() -> list[str]:
    """The packages that requirements.txt names."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def install_missing() -> None:
    """Installs the requirements that are not there, all but OpenCV where `import cv2` finds one."""
    missing = [name for name in requirements() if not _installed(name)]
    if find_spec("cv2") is None:
        return _install(missing)
    # face-alignment requires the OpenCV of one name; its other requirements are installed without it.
    _install([name for name in missing if name not in ("opencv-python", "face-alignment")])
    if "face-alignment" in missing:
        _install(["--no-deps", "face-alignment"])
        needed = (line for line in metadata.requires("face-alignment") or () if ";" not in line)
        _install([line for line in needed if not line.startswith("opencv")])
    return None


def repair_opencv() -> None:
    """Leaves the most capable one of several OpenCV packages, in the version that it has."""
    invalidate_caches()
    found = opencv_packages()
    if len(found) < 2:
        return
    print(f"talkface: {opencv_warning()}")
    remove, bring = opencv_repair(found)
    with tempfile.TemporaryDirectory() as folder:
        _pip("download", "--no-deps", "-d", folder, bring[-1])  # first of all: without a net nothing is taken away
        _pip(*remove)
        _pip(*bring, "--no-index", "--find-links", folder)


def _installed(name: str) -> bool:
    return next(iter(metadata.distributions(name=name)), None) is not None


def _install(names: list[str]) -> None:
    """pip install, with all that is there held where it is, but for pip's own tools."""
    if not names:
        return
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held.txt"
        there = {package.metadata["Name"]: package.version for package in metadata.distributions()}
        lines = [f"{name}=={version}\n" for name, version in there.items() if name and name not in TOOLS]
        held.write_text("".join(lines), encoding="utf-8")
        _pip("install", *names, "-c", str(held))
    invalidate_caches()


def _pip(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
