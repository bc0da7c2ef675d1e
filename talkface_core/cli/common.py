"""What the commands share: the flags, the one-line errors, the JSON result."""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ..errors import InputError

PROGRAM = "python -m talkface_core"
WRONG_INPUT = 2
LARGEST_SEED = 2**63 - 1
EAR_HELP = (
    "who hears: a converted Whisper base (models --fetch whisper-base), or none: the model's own small one alone "
    "(default: the bundled ear_tiny, where it fits the model)"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_INPUT, f"talkface: {first_line(message)} (see {self.prog} --help)\n")


def first_line(message: str) -> str:
    """A message on one line, however many it had."""
    return " ".join(str(message).split())


def joined(argv: Sequence[str]) -> list[str]:
    """`--pose -15,0,0` as `--pose=-15,0,0`: argparse would take a list that begins with a minus for a flag."""
    words: list[str] = []
    for word in argv:
        if words and re.fullmatch(r"--[a-z-]+", words[-1]) and re.match(r"-[\d.]", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def told(error: Exception) -> str | None:
    """What to tell of an error that the user can mend; None for a bug of ours, which is to be traced."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError):  # a full disk, a folder without permission
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, (MemoryError, RuntimeError)) and _out_of_memory(error):
        return "memory ran out; give smaller or shorter footage, or close other programs"
    return None


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    from ..memory import out_of_memory  # brings torch along, which has been imported where this can happen

    return out_of_memory(error)


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


def check_models(args: argparse.Namespace, system: str | None = None, bundled: str | None = None) -> None:
    """Raises InputError for models of a command's flags that are not there, a --model that is no checkpoint or one of
    another `system`, and a device that is not there. Headers alone are read."""
    from ..checkpoints import find_checkpoint, read_header
    from ..device import pick_device

    pick_device(args.device)
    if args.model is not None or bundled is not None:
        read_header(find_checkpoint(args.model or bundled or ""), system)
    if (ear := getattr(args, "ear", None)) is not None:
        from ..acoustic.hearing import DEFAULT_EAR, NO_EAR, check_ear

        if ear not in (DEFAULT_EAR, NO_EAR):
            check_ear(ear)
    for flag in ("motion", "sovqae", "evaluator"):
        if (name := getattr(args, flag, None)) is not None:
            find_checkpoint(name)


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
