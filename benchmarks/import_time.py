"""How long the pack takes to start: what its nodes import of the core, and `speak` and `dub` on a moment of sound.

    python -m benchmarks.import_time [--pack DIR] [--runs 5] [--top 8] [--json OUT.json]

Each run is a process of its own; the table has the median of all. A start is the interpreter, the imports, the weights
and five frames. Processor time is that of all threads; on a busy machine it says more than the clock. `torch` is the
floor: the host has imported it before the pack comes. Packages are those that take longest, without what they import.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.ending import files_in, run_program
from benchmarks.speak import ROOT, machine, table_of

MOMENT = "0.2"  # seconds
COLUMNS = {
    "what": ("", "{}"),
    "seconds": ("clock s", "{:.2f}"),
    "seconds_cpu": ("processor s", "{:.2f}"),
    "modules": ("modules", "{}"),
    "packages": ("slowest packages, s", "{}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=ROOT, metavar="DIR", help="another version of it to measure")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--top", type=int, default=8, metavar="N", help="packages to name (default: 8)")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(args, what, words) for what, words in programs(args.pack, Path(folder)).items()]
    print(table_of(rows, COLUMNS))
    print(f"\n{machine()}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=2) + "\n")


def programs(pack: Path, folder: Path) -> dict[str, list[str]]:
    """Arguments of Python for each thing that starts."""
    sound, film = pack / "samples" / "hello.flac", pack / "samples" / "ada.mp4"
    rest = ["-o", str(folder / "out.mp4"), "--duration", MOMENT, "--device", "cpu", "--quiet"]
    return {
        "torch": ["-c", "import torch"],
        "nodes' core": ["-c", f"import {', '.join(core_of_nodes(pack))}"],
        "speak": ["-m", "talkface_core", "speak", str(sound), *rest],
        "dub": ["-m", "talkface_core", "dub", str(film), str(sound), *rest],
    }


def core_of_nodes(pack: Path) -> list[str]:
    """The modules of the core that the nodes import when the host loads the pack."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files_in(pack / "nodes", ".py")]
    imports = (node for tree in trees for node in tree.body if isinstance(node, ast.ImportFrom) and node.level == 2)
    names = {node.module: [alias.name for alias in node.names] for node in imports if node.module}
    whole = {name for name in names if (pack / name.replace(".", "/")).is_dir()}
    inner = {f"{package}.{name}" for package in whole for name in names[package]}
    return sorted((names.keys() - whole) | inner)


def measured(args: argparse.Namespace, what: str, words: list[str]) -> dict[str, Any]:
    """The median of the runs, and from one more the modules that it imports."""
    clock, processor = [], []
    for _ in range(args.runs):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=args.pack, check=True)
        clock.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    traced = [sys.executable, "-X", "importtime", *words]
    printed = subprocess.run(traced, cwd=args.pack, check=True, stderr=subprocess.PIPE, text=True).stderr
    own = Counter[str]()
    modules = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", printed)
    for microseconds, name in modules:
        own[name.split(".")[0]] += int(microseconds) / 1e6
    return {
        "what": what,
        "seconds": statistics.median(clock),
        "seconds_cpu": statistics.median(processor),
        "modules": len(modules),
        "packages": ", ".join(f"{name} {seconds:.2f}" for name, seconds in own.most_common(args.top)),
    }


if __name__ == "__main__":
    run_program(main)
