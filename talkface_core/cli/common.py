"""What the commands share: the flags, the one-line errors, the JSON result."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

PROGRAM = "python -m talkface_core"
WRONG_INPUT = 2
LARGEST_SEED = 2**63 - 1
EAR_HELP = (
    "hear by this converted Whisper base (models --fetch whisper-base), whose lips follow better (default: bundled)"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_INPUT, f"talkface: {first_line(message)} (see {self.prog} --help)\n")


def first_line(message: str) -> str:
    """A message on one line, however many it had."""
    return " ".join(str(message).split())


def add_common(parser: argparse.ArgumentParser, device: bool = True) -> None:
    """The flags that every command takes."""
    if device:
        parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")
    parser.add_argument("--quiet", action="store_true", help="no progress, no messages; errors only")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout; messages go to stderr")


def seed_number(text: str) -> int:
    """A type of argument: a seed, as every command and node takes it."""
    value = int(text)
    if not 0 <= value <= LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text}: a seed is a whole number from 0 to {LARGEST_SEED}")
    return value


seed_number.__name__ = "int"  # argparse names it where the text is no number


def report(args: argparse.Namespace, result: Mapping[str, Any], text: str) -> None:
    """The end of a command: the result as JSON on stdout, or the text for people on stderr."""
    if args.json:
        print(json.dumps(result))
    elif not args.quiet:
        print(text, file=sys.stderr)


def peak_rss_mb() -> float:
    """The most memory that this process has held so far, in MiB."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
