"""Rows of a job table as commands of this program: which they are, whether they are right, and how one is run."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ..atomic import whole_file
from ..batch.job import Job, checked_output
from ..batch.record import Records
from ..batch.table import SEPARATOR, Row
from ..batch.worker import TryAgain
from ..errors import InputError
from ..kept import forget_models, keep_models
from . import animate, dub, evaluate, imagine, prepare, speak
from .common import Parser, first_line, joined, told
from .job_needs import needs_of
from .job_parts import evaluate_part, join, prepare_part

_MODELS = 8
"""How many of a worker's loaded models stay: a system, what it is joined with, a detector, an ear; or instruments."""
_FILES = ("pose", "reference", "model", "motion", "ear", "sovqae", "vae", "hubert", "evaluator")
"""Arguments that may name files that a job reads besides its inputs."""
_LOADED = ("system", "model", "motion", "ear", "sovqae", "vae", "hubert", "evaluator", "weights", "detector", "device")
_OURS = "output-of-the-batch.mp4"


@dataclass(frozen=True)
class _Command:
    """words: of the command line, before the inputs; inputs: their names; suffix: of its output, "" a folder."""

    words: tuple[str, ...]
    inputs: tuple[str, ...]
    suffix: str = ".mp4"
    more: bool = False


_SPEAK, _IMAGINE = _Command(("speak",), ("AUDIO",)), _Command(("imagine",), ("AUDIO",))
_ANIMATE = _Command(("animate",), ("PICTURE", "AUDIO"))
_FILM = ("VIDEO", "AUDIO")
SYSTEMS: dict[str, tuple[_Command, ...]] = {
    "speak": (_SPEAK,),
    "dub": (_Command(("dub",), _FILM),),
    "animate": (_ANIMATE,),
    "imagine": (_IMAGINE,),
    "prepare": (_Command(("prepare",), ("VIDEO",), "", more=True),),
    "evaluate": (_Command(("evaluate",), ("GENERATED", "REFERENCE"), ".json"),),
    "dae-talker": (_SPEAK, _Command(("dub", "--system", "dae-talker"), _FILM)),
    "ladtalk": (_Command(("dub", "--system", "ladtalk"), _FILM),),
    "landmark-diffusion": (_Command(("dub", "--system", "landmark-diffusion"), _FILM),),
    "see-the-speaker": (_IMAGINE, _ANIMATE),
}
"""What may stand in the column system: a command, or a system, whose command the number of inputs tells."""


class _RowParser(Parser):
    """An argument parser whose errors are raised."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**{**named, "add_help": False})

    def error(self, message: str) -> NoReturn:
        raise InputError(first_line(message))


def make_row_parser() -> argparse.ArgumentParser:
    """The commands that can be jobs."""
    parser = _RowParser(prog="")
    commands = parser.add_subparsers(required=True, parser_class=_RowParser)
    for module in (speak, dub, imagine, animate, prepare, evaluate):
        module.add_command(commands)
    return parser


def make_job(row: Row, device: str, parser: argparse.ArgumentParser) -> Job:
    """The job of a row. Raises InputError for words that are wrong."""
    command = _command(row)
    # A name that begins with a minus is a file here, no flag.
    inputs = [f"./{name}" if name.startswith("-") else name for name in row.inputs]
    if command.words[0] == "evaluate" and len(inputs) == 2:
        inputs = [inputs[0], "--reference", inputs[1]]
    output = checked_output(row.output or _named(row, command))
    suffix = Path(output).suffix.lower()
    if command.suffix and suffix != command.suffix and not (command.suffix == ".json" and suffix == ".html"):
        or_page = " or .html" if command.suffix == ".json" else ""
        raise InputError(f"output {output!r}: what {command.words[0]} makes ends in {command.suffix}{or_page}")
    words = joined([*command.words, *inputs, *row.options])
    named = "--html" if command.words[0] == "evaluate" else "--output"
    args = parser.parse_args([words[0], named, _OURS, "--device", device, *words[1:]])
    if getattr(args, named[2:]) != _OURS:
        raise InputError(f"options name an output; give its name in a column output, as {output!r}")
    if getattr(args, "live", False):
        raise InputError("--live streams to somebody who is waiting; leave it out")
    extra = (checked_output(args.portrait),) if getattr(args, "portrait", None) else ()
    may_read = [*(getattr(args, flag, None) for flag in _FILES), *(getattr(args, "weights", None) or ())]
    read = [name for name in may_read if name and os.path.exists(name)]
    kind = json.dumps([words[0], *(getattr(args, name, None) for name in _LOADED)])
    place = ("--device", device)
    files = tuple(dict.fromkeys([*row.inputs, *read]))
    return Job(row.line, tuple(words), output, extra, files, kind, place, needs_of(args))


def check_job(job: Job, out: Path, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Its arguments. Raises InputError for what is wrong with a job's inputs, as the command itself tells it. The
    folders of its outputs have to be there."""
    records = Records(out)
    args = _arguments(job, records, parser, out / job.output)
    if job.words[0] == "prepare":
        _outside(out, args.videos)
    try:
        args.check(args)
        if job.words[0] == "prepare":
            records.check_folder(job)
    except OSError as error:
        raise InputError(told(error) or "") from error
    return args


def _outside(out: Path, videos: Sequence[str]) -> None:
    """Raises InputError for a folder of films that `out` lies in: what is made would be footage the next time."""
    for folder in map(Path, videos):
        if folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"output folder {out} lies in {folder}, whose films are asked for; give one elsewhere")


def ready(threads: int) -> None:
    """Before a worker's first job: its share of the cores, and models that stay."""
    import cv2
    import torch
    from tqdm import tqdm

    # Its own lock is one of the system's, which a killed worker would leave behind.
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    keep_models(_MODELS)


_last_kind = ""


def perform(job: Job, records: Records) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Run a job's command; what it says in JSON, and its warnings. Raises InputError, TryAgain."""
    global _last_kind
    if job.kind != _last_kind:
        forget_models()
        _last_kind = job.kind
    target = records.target(job)
    for name in job.outputs:
        (records.out / name).parent.mkdir(parents=True, exist_ok=True)
    folder = job.words[0] == "prepare"
    made = records.workplace(job) / target.name if folder else target
    warnings = _Warnings()
    logging.getLogger().addHandler(warnings)
    try:
        made.parent.mkdir(parents=True, exist_ok=True)
        args = _arguments(job, records, make_row_parser(), made)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            _run(job, args, records, made)
        # A measure that is not a number is none: JSON proper, which records are, has no NaN.
        result = json.loads(printed.getvalue() or "{}", parse_constant=lambda _: None)
        if folder:
            records.place(job, made)
        elif job.words[0] == "evaluate" and target.suffix.lower() == ".json":
            with whole_file(target) as part:
                part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except InputError:
        raise
    except Exception as error:
        raise TryAgain(told(error) or _bug(error)) from error
    finally:
        logging.getLogger().removeHandler(warnings)
    return result, tuple(warnings.messages)


def _run(job: Job, args: argparse.Namespace, records: Records, made: Path) -> None:
    if job.parts:
        join(job, args, records, made)
    elif job.is_part and job.words[0] == "prepare":
        prepare_part(args, made)
    elif job.is_part:
        evaluate_part(args, made)
    else:
        args.run(args)


def _command(row: Row) -> _Command:
    if row.system not in SYSTEMS:
        raise InputError(f"system {row.system!r} is unknown; give one of {', '.join(SYSTEMS)}")
    known = SYSTEMS[row.system]
    for command in known:
        if len(row.inputs) == len(command.inputs) or (command.more and row.inputs):
            return command
    wanted = " or ".join(f" {SEPARATOR} ".join(command.inputs) for command in known)
    raise InputError(f"{row.system} takes {wanted} as inputs; {len(row.inputs)} given")


def _named(row: Row, command: _Command) -> str:
    """The name of an output that the row does not name: the inputs' names and the system's."""
    stems = [Path(name.replace("\\", "/")).stem.strip(". ") for name in row.inputs]
    return "-".join([*(stem for stem in stems[:3] if stem), row.system]) + command.suffix


def _arguments(job: Job, records: Records, parser: argparse.ArgumentParser, made: Path) -> argparse.Namespace:
    words = [job.words[0], *job.place, *job.words[1:], "--quiet", "--json"]
    if job.words[0] != "evaluate":
        words += ["--output", str(made)]
    elif made.suffix.lower() == ".html":
        words += ["--html", str(made)]
    args = parser.parse_args(words)
    if job.extra:
        args.portrait = str(records.out / job.extra[0])
    return args


class _Warnings(logging.Handler):
    """Keeps what would have been shown."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(first_line(record.getMessage()))


def _bug(error: Exception) -> str:
    frames: Sequence[traceback.FrameSummary] = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {first_line(str(error))}{where}"
