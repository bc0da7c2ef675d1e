"""Make a trained checkpoint one of the bundled: float16, with its data, licence and measured quality in the metadata.

    python -m benchmarks.bundle RUN/dae-talker.safetensors NAME --stage FIRST.safetensors --measured quality.json
    python -m benchmarks.bundle RUN/wav2lip.safetensors NAME --add RUN/sovqae.safetensors:sovqae --add OTHER:gate
    python -m benchmarks.bundle RUN1/it.safetensors NAME --mean RUN2/it.safetensors

Writes talkface_core/pretrained/NAME.safetensors. `--add` puts a component of another checkpoint beside those of the
first, with what that checkpoint says of itself. Run the quality benchmark on the written file: what is bundled is what
is measured; then run this again with its `quality.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.ending import run_program
from talkface_core.checkpoints import PRETRAINED, find_checkpoint, read_checkpoint
from talkface_core.joining import Joint

LICENCE = "weights: Apache-2.0; data: synthetic footage made for this project, no real person"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    parser.add_argument("--stage", type=Path, action="append", default=[], help="checkpoints of the stages before it")
    parser.add_argument("--add", action="append", default=[], metavar="NAME|FILE:COMPONENT")
    parser.add_argument("--mean", type=Path, metavar="FILE", help="take the mean of both files' weights")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="COMPONENT.KEY=JSON",
        help="a setting that is not trained; repeatable",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="COMPONENT[.PREFIX]",
        help="weights that what infers has no use for, such as an encoder's, or a component; repeatable, with the "
        "--set that says so",
    )
    parser.add_argument(
        "--measured", type=Path, action="append", default=[], help="JSON report of a quality benchmark; repeatable"
    )
    parser.add_argument(
        "--eight-bits",
        nargs="+",
        default=[],
        metavar="COMPONENT.PART",
        help="store these in 8 bits, which halves them; measure what that changes",
    )
    parser.add_argument("--licence", default=LICENCE)
    args = parser.parse_args()
    joint = Joint.of(args.checkpoint)
    joint.provenance["licence"] = args.licence
    if args.stage:
        joint.provenance["stages"] = [read_checkpoint(path).provenance for path in args.stage]
    if args.measured:
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in args.measured]
        joint.provenance["measured"] = {name: value for report in reports for name, value in measured(report).items()}
    if args.mean:
        joint.mean_with(read_checkpoint(args.mean))
    for source in args.add:
        file, _, component = source.rpartition(":")
        joint.add(read_checkpoint(find_checkpoint(file)), component)
    for change in args.set:
        name, _, value = change.partition("=")
        joint.set(name, json.loads(value))
    for dropped in args.drop:
        component, _, prefix = dropped.partition(".")
        joint.drop(component, prefix)
    target = PRETRAINED / f"{args.name}.safetensors"
    joint.save(target, eight_bits=args.eight_bits)
    print(f"{target.name}: {target.stat().st_size / 2**20:.1f} MiB")


def measured(report: dict[str, Any]) -> dict[str, float]:
    """The rows of a quality report that had a target."""
    return {f"{row['section']}, {row['measure']}": round(row["value"], 4) for row in report["rows"] if row["target"]}


if __name__ == "__main__":
    run_program(main)
