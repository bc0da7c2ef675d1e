"""Our networks beside the public code that they are laid out as, with the same random weights, in one run on a CPU.

    python -m benchmarks.peers CLONES [--only NAME …] [--units 4] [--repeats 3] [--out DIR]

CLONES holds clones by their repositories' names (diffae, Wav2Lip, RestoreFormerPlusPlus, IP_LAP; LivePortrait and
DiffDub have programs of their own: renderer_base_speed, diffdub). Each side of each network runs in a process of its
own, in float32 and in bfloat16, public and ours in turn. Seconds are those of the processor, of all threads, which
other work on the machine changes little; the clock's are in the JSON. `error` is how far ours lies from the public
float32. The public code runs as its own inference does (one picture at a time where it goes so), ours in batches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.speak import ROOT, machine
from talkface_core.errors import InputError

CLONES = {
    "diffae": ("diffae", "an evaluation of a 256 px frame"),
    "wav2lip": ("Wav2Lip", "a mouth of 96 px"),
    "restoreformer": ("RestoreFormerPlusPlus", "a face of 512 px"),
    "iplap": ("IP_LAP", "0.2 s of landmarks"),
}
"""By name: the repository, and what a unit is."""

DTYPES = ("float32", "bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clones", type=Path, metavar="CLONES")
    parser.add_argument("--only", nargs="+", choices=tuple(CLONES), default=list(CLONES), metavar="NAME")
    parser.add_argument("--units", type=int, default=4, metavar="N", help="made at a time (default: 4)")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="of which the median counts (default: 3)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write peers.md and peers.json")
    args = parser.parse_args()
    if missing := [CLONES[name][0] for name in args.only if not (args.clones / CLONES[name][0]).is_dir()]:
        raise InputError(f"{args.clones}: holds no {', '.join(dict.fromkeys(missing))}; name what is there with --only")
    rows = [row for name in tqdm(args.only) for row in compared(name, args)]
    lines = ["| network, a unit | program | dtype | processor ms a unit | times faster | peak MB | error |"]
    lines += ["|---|---|---|---:|---:|---:|---:|", *map(_line, rows), "", machine(), ""]
    print("\n".join(lines))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "peers.md").write_text("\n".join(lines), encoding="utf-8")
        (args.out / "peers.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def compared(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Both sides of a network in both number formats; a side that fails in one is left out."""
    repository, unit = CLONES[name]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for dtype in DTYPES:
            for side in ("public", "ours"):
                command = [sys.executable, "-m", "benchmarks.peers_side", name, side, dtype]
                command += [str((args.clones / repository).absolute()), folder]
                command += ["--units", str(args.units), "--repeats", str(args.repeats)]
                run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
                if run.returncode:
                    print(f"{name}, {side}, {dtype}: {run.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    continue
                row = {"name": f"{name}: {unit}", "side": side, "dtype": dtype}
                row |= json.loads(run.stdout.splitlines()[-1])
                made = np.load(Path(folder) / f"{name}_{side}_{dtype}.npy")
                reference = np.load(Path(folder) / f"{name}_public_float32.npy")
                row["error"] = float(np.linalg.norm(made - reference) / np.linalg.norm(reference))
                rows.append(row)
    for row in rows:
        row["faster"] = rows[0]["processor"] / row["processor"]
    return rows


def _line(row: dict[str, Any]) -> str:
    cells = [row["name"], row["side"], row["dtype"], f"{1000 * row['processor']:.1f}", f"{row['faster']:.2f}"]
    return f"| {' | '.join([*cells, str(row['peak_rss_mb']), format(row['error'], '.1e')])} |"


if __name__ == "__main__":
    run_program(main)
