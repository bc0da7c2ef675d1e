"""The house: who may import whom, what importing changes, and what never enters the repository."""

import ast
import re
import subprocess
import sys
from collections.abc import Set
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "talkface_core"
HOST = {"comfy", "comfy_api", "folder_paths", "nodes", "torchvision", "torchaudio"}
ROOMS = {
    "media": set(),
    "sequences": {"media"},
    "speech": {"media", "sequences"},
    "diffusion": set(),
    "quantisation": {"diffusion"},
    "training": set(),
    "faces": {"media", "training"},
    "dubbing": {"media", "faces"},
    "batch": set(),
    "datasets": {"media", "speech", "training", "faces"},
    "acoustic": {"media", "sequences", "speech", "training", "datasets"},
    "sync": {"media", "speech", "training", "faces", "datasets"},
    "preparation": {"media", "speech", "faces", "sync"},
    "dae_talker": {
        *("media", "sequences", "speech", "dubbing", "diffusion", "training", "faces", "datasets", "acoustic"),
    },
    "ladtalk": {
        *("media", "speech", "dubbing", "diffusion", "quantisation", "training", "faces", "sync", "datasets"),
        "acoustic",
    },
    "landmark_diffusion": {
        *("media", "sequences", "speech", "dubbing", "diffusion", "training", "faces", "sync", "datasets", "acoustic"),
    },
    "see_the_speaker": {
        *("media", "sequences", "speech", "diffusion", "quantisation", "training", "faces", "sync", "datasets"),
        "acoustic",
    },
    "evaluation": {"media", "speech", "training", "faces", "sync", "datasets"},
    "personalise": {
        *("media", "speech", "training", "faces", "datasets", "preparation", "acoustic"),
        *("dae_talker", "ladtalk", "evaluation"),
    },
}
"""Each room of the core, a folder or a file, and the rooms below it. Nothing but `cli` and `personalise` stands on
`evaluation`."""


@cache
def imported(path: Path) -> frozenset[str]:
    """Absolute names of all modules that a file of the core imports, also within functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # What is taken out of a package may be a module of it.
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def modules() -> dict[str, Path]:
    """The files of the core by the names of their modules."""
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in CORE.rglob("*.py")}


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda p: str(p.relative_to(CORE)))
def test_data_flows_downwards(path):
    names = imported(path)
    assert not {name.split(".")[0] for name in names} & HOST
    room = path.relative_to(CORE).with_suffix("").parts[0]
    if room in ROOMS:
        used = {name.split(".")[1] for name in names if name.startswith("talkface_core.")}
        assert not used & (ROOMS.keys() | {"cli"}) - ROOMS[room] - {room}


def test_no_circle_between_modules():
    """Not even of imports within functions: each module can be read after those that it stands on."""
    paths = modules()
    below = {name: imported(path) & paths.keys() - {name} for name, path in paths.items()}
    tuple(TopologicalSorter(below).static_order())


def test_inference_needs_nothing_of_training():
    """What speaking, dubbing and the nodes reach imports no package that trains, not even in a function; evaluation is
    reached by the node that shows it alone, training by the one that trains, and that when it runs."""
    names = {name: imported(path) for name, path in modules().items()}
    coming = {"talkface_core.cli.speak", "talkface_core.cli.dub", "talkface_core.cli.pose"}
    nodes = {path: imported(path) & names.keys() for path in (ROOT / "nodes").rglob("*.py")}
    evaluating = nodes.pop(ROOT / "nodes" / "evaluate.py")
    training = ROOT / "nodes" / "personalise.py"
    assert any("personalise" in name for name in nodes.pop(training))
    at_once = [
        part for part in ast.parse(training.read_text(encoding="utf-8")).body if isinstance(part, ast.ImportFrom)
    ]
    assert not [part.module for part in at_once if "personalise" in (part.module or "")]
    reached = _reached(coming.union(*nodes.values()), names)
    assert not {name for name in reached if re.search(r"\.evaluation\b", name)}
    reached |= _reached(evaluating, names)
    assert "talkface_core.faces.landmarks" in reached
    heavy = {"accelerate", "torchmetrics", "scipy"}
    assert not {name for name in reached if {used.split(".")[0] for used in names[name]} & heavy}
    assert not {name for name in reached if re.search(r"\.training\b|recipe|_losses|_batches", name)}


def _reached(coming: Set[str], names: dict[str, frozenset[str]]) -> set[str]:
    """Modules, all that they import, and so on."""
    reached: set[str] = set()
    while coming:
        reached |= coming
        coming = set().union(*(names[name] for name in coming)) & names.keys() - reached
    return reached


def test_loading_brings_no_compiler():
    """Some of torch's functions import torch._dynamo and sympy on the meta device: longer than the loading takes."""
    script = """
import sys
from talkface_core.dae_talker.model import load_dae_talker
from talkface_core.faces.detect import find_detector
from talkface_core.ladtalk.model import load_ladtalk

load_dae_talker(device="cpu"), load_ladtalk(device="cpu"), find_detector("bundled", "cpu")
slow = {"torch._dynamo", "sympy", "matplotlib", "torchmetrics", "accelerate"} & sys.modules.keys()
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_changes_nothing():
    """Of all that a host imports; training is a program of its own, and OpenCV, which it needs, sets a variable."""
    script = """
import importlib, os, pkgutil, re, sys, tempfile, torch

def state():
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    return [torch.get_num_threads(), dtype, grad, dict(os.environ), tempfile.gettempdir(), list(sys.path)]

before = state()
import talkface_core
for module in pkgutil.walk_packages(talkface_core.__path__, "talkface_core."):
    if not re.search(r"__main__|recipe|training|augment|datasets|speech_data|_batches|personalise", module.name):
        importlib.import_module(module.name)
assert state() == before, (before, state())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_bundled_weights_stay_small_and_have_cards():
    weights = sorted((CORE / "pretrained").glob("*.safetensors"))
    assert weights
    assert sum(path.stat().st_size for path in weights) < 56 * 2**20
    for path in weights:
        assert (path.parent / f"MODEL_CARD_{path.stem}.md").is_file(), path.name
