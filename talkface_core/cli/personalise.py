"""`personalise`: footage of a person to a checkpoint that speaks as that person, and a page of what became better."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import add_common, peak_rss_mb, report


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("personalise", help="footage to a person of one's own", description=__doc__)
    parser.add_argument(
        "videos", metavar="VIDEO", nargs="+", help="videos of one person who speaks, or folders of them"
    )
    parser.add_argument(
        "-o", "--output", metavar="NAME", required=True, help="the person's folder; NAME.safetensors comes beside it"
    )
    parser.add_argument("--budget", default="2h", metavar="TIME", help="for all of it, such as 30m or 2h (default: 2h)")
    parser.add_argument(
        "--face",
        default="only",
        metavar="WHICH",
        help="where several are seen: largest, leftmost, or 0, 1, … from the left",
    )
    parser.add_argument(
        "--check", action="store_true", help="only say what the footage is good for and how long it takes"
    )
    parser.add_argument("--talker", metavar="NAME|FILE", help="DAE-Talker to begin with (default: bundled)")
    parser.add_argument("--texture", metavar="NAME|FILE", help="LaDTalk to begin with (default: bundled)")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the person, or go on with it."""
    began = time.perf_counter()
    from ..personalise.run import expect, personalise
    from ..personalise.settings import Settings, parse_budget, told
    from ..personalise.stages import STAGES
    from ..personalise.watching import Watcher

    class Lines(Watcher):
        """Lines on stderr; the stages draw their own progress bars."""

        def says(self, line: str) -> None:
            if not args.quiet:
                print(line, file=sys.stderr, flush=True)

    folder, trained = Path(args.output), [stage.name for stage in STAGES]
    if not folder.name:
        raise InputError(f"-o {args.output}: give the person a name")
    begins = {name: getattr(args, name) for name in ("talker", "texture") if getattr(args, name) is not None}
    settings = Settings(budget=parse_budget(args.budget), face=args.face, **begins)
    if args.check:
        expected = expect(args.videos, settings, args.device)
        seen = {"footage": expected.found.as_dict(), "seconds": expected.seconds, "lines": expected.lines}
        report(args, seen, "\n".join(expected.lines))
        return 0
    if not folder.absolute().parent.is_dir():
        raise InputError(f"output folder {folder.parent} does not exist; create it first or choose another")
    # A name with a dot in it stays whole: with_suffix would cut it.
    target = folder.with_name(f"{folder.name}.safetensors")
    try:
        person = personalise(args.videos, folder, target, settings, args.device, args.quiet, Lines())
    except (KeyboardInterrupt, SystemExit):
        if not args.quiet:
            print("what is done is kept: the same command goes on from here", file=sys.stderr)
        raise
    result: dict[str, Any] = {
        "output": str(person.checkpoint),
        "page": str(person.page),
        "stages": {name: done for name, done in person.state.done.items() if name in trained},
        "seconds_spent": {name: round(seconds, 1) for name, seconds in person.state.spent.items()},
        "seconds_computed": {name: round(seconds, 1) for name, seconds in person.state.computed.items()},
        "measured": person.numbers,
        "seconds_wall": round(time.perf_counter() - began, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
    spent = told(person.state.seconds)
    lines = [*person.lines, f"{person.checkpoint}: written after {spent}; look at {person.page}"]
    report(args, result, "\n".join(lines))
    return 0
