"""Which packages are installed beside the pack, by their metadata alone: none of them is imported for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from .errors import InputError

OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
"""All four install into the one folder cv2, each over the files of the others."""
_LIST = Path(__file__).parents[1] / "requirements-train.txt"

TRAINING = ("accelerate", "scipy", "torchmetrics")
"""What requirements-train.txt names."""


def opencv_packages(path: Sequence[str] | None = None) -> dict[str, str]:
    """Name and version of every OpenCV package in the folders of `path`, by default sys.path.

    What conda installed is left out: it names its one OpenCV twice, for pip's sake, and pip cannot mend it.
    """
    packages: dict[str, str] = {}
    for name in OPENCV:
        for package in metadata.distributions(name=name, path=list(sys.path if path is None else path)):
            installer = (package.read_text("INSTALLER") or "").strip()
            if package.read_text("METADATA") and installer != "conda":
                packages.setdefault(name, package.version)
    return packages


def opencv_to_keep(packages: dict[str, str]) -> str:
    """The one of several that can do most: with the contrib modules, then headless, which loads without a display."""
    return max(packages, key=lambda name: ("contrib" in name, "headless" in name))


def opencv_repair(packages: dict[str, str]) -> list[list[str]]:
    """pip's arguments, call after call, that leave the best of several OpenCV packages, whole and in its version.

    All must go first: removing one of them alone takes files of the other along.
    """
    keep = opencv_to_keep(packages)
    return [["uninstall", "-y", *packages], ["install", "--no-deps", f"{keep}=={packages[keep]}"]]


def opencv_warning(path: Sequence[str] | None = None) -> str | None:
    """What to tell the user where two OpenCV packages are installed, with the command that mends it; else None."""
    packages = opencv_packages(path)
    if len(packages) < 2:
        return None
    python = subprocess.list2cmdline([sys.executable])
    commands = " && ".join(f"{python} -m pip {' '.join(call)}" for call in opencv_repair(packages))
    return (
        f"{' and '.join(packages)} are installed side by side: they overwrite each other's files, "
        f"and functions of cv2 are missing without a word. To mend it: {commands}"
    )


def require_ray() -> None:
    """Raises InputError where Ray, which `batch --ray` needs and nothing else, is not installed."""
    if find_spec("ray") is None:
        raise InputError(
            "--ray needs a package that is not installed (ray), here and on all machines of the cluster: "
            "python -m pip install -r requirements-ray.txt"
        )


def require_training() -> None:
    """Raises InputError where a package that training needs, and nothing else, is not installed."""
    missing = [name for name in TRAINING if find_spec(name) is None]
    if missing:
        raise InputError(
            f"training needs packages that are not installed ({', '.join(missing)}): "
            f"{subprocess.list2cmdline([sys.executable])} -m pip install -r {_LIST}"
        )
