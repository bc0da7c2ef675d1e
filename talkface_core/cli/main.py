"""The program: reads the arguments, runs the command, turns what went wrong into one line and an exit status."""

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from .. import __version__
from ..installed import opencv_warning
from . import animate, batch, dub, evaluate, imagine, models, personalise, prepare, speak, train
from .common import PROGRAM, WRONG_INPUT, Parser, first_line, joined, told

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 2 for wrong input, 130 after Ctrl-C; SIGTERM ends in SystemExit(143)."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows ASCII alone shows other letters by their numbers.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = make_parser().parse_args(joined(sys.argv[1:] if argv is None else argv))
        level = logging.ERROR if args.quiet else logging.WARNING
        logging.basicConfig(format="%(message)s", level=level, handlers=[_AboveBars()])
        if warning := opencv_warning():
            logging.warning("talkface: %s", warning)
        with _orderly_end():
            return args.run(args)
    except KeyboardInterrupt:
        return _fail("stopped", INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has seen enough: `models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (message := told(error)) is None:
            raise
        return _fail(message, WRONG_INPUT)


class _AboveBars(logging.StreamHandler):
    """Messages on lines of their own, also while a progress bar is being drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)


def _fail(message: str, status: int) -> int:
    print(f"talkface: {first_line(message)}", file=sys.stderr)
    return status


def make_parser() -> Parser:
    """The whole command line, for `main` and for tests of what is written about it."""
    parser = Parser(prog=PROGRAM, description="Speech to talking-face video.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for module in (speak, dub, imagine, animate, prepare, train, personalise, evaluate, batch, models):
        module.add_command(commands)
    return parser


@contextmanager
def _orderly_end() -> Iterator[None]:
    """SIGTERM ends the program through all its `finally`, so that no half-written file stays."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
