"""The table of jobs: a CSV file with the columns system, inputs, options and, if wanted, output."""

from __future__ import annotations

import csv
import shlex
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

REQUIRED, OPTIONAL = ("system", "inputs"), ("options", "output")
SEPARATOR = ";"
"""Between the inputs of a row."""

_LARGEST = 64 * 2**20  # bytes; a million rows of 64


@dataclass(frozen=True)
class Row:
    """One line of the table: its number in the file, the words of its cells; `output` is "" where none is named."""

    line: int
    system: str
    inputs: tuple[str, ...]
    options: tuple[str, ...]
    output: str


def read_table(path: str | Path) -> list[Row]:
    """The rows, lines without any text left out. UTF-8 with or without a byte order mark.

    Raises InputError for a file that is none, columns that are missing or unknown, a row of another number of cells,
    and options whose quotes are not closed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"job table {path} does not exist; give a CSV file with the columns {', '.join(REQUIRED)}, …")
    if path.stat().st_size > _LARGEST:
        raise InputError(f"job table {path} has more than {_LARGEST >> 20} MiB; divide it")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            columns = _columns(path, next(reader, []))
            return [_row(path, reader.line_num, columns, cells) for cells in reader if any(map(str.strip, cells))]
    except UnicodeDecodeError as error:
        raise InputError(f"job table {path} is not UTF-8 text (byte {error.start}); save it as CSV UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path.name} line {reader.line_num}: no CSV ({error}); close every quote") from error


def _columns(path: Path, cells: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    missing = [name for name in REQUIRED if name not in columns]
    foreign = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    told = f"its first line is {', '.join(columns)[:80]!r}"
    if missing:
        raise InputError(f"job table {path} has no column {missing[0]!r}: {told}; begin with system,inputs,options")
    if foreign or len(set(columns)) < len(columns):
        wrong = foreign[0] if foreign else next(name for name in columns if columns.count(name) > 1)
        raise InputError(
            f"job table {path} has a column {wrong[:40]!r} too many; known are {', '.join((*REQUIRED, *OPTIONAL))}"
        )
    return columns


def _row(path: Path, line: int, columns: list[str], cells: list[str]) -> Row:
    where = f"{path.name} line {line}"
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise InputError(f"{where}: {len(cells)} cells for {len(columns)} columns; put cells with commas into quotes")
    said = {column: cell.strip() for column, cell in zip(columns, cells, strict=False)}
    inputs = tuple(part for part in map(str.strip, said.get("inputs", "").split(SEPARATOR)) if part)
    # As a shell divides words, but for backslashes, which paths of Windows are full of.
    words = shlex.shlex(said.get("options", ""), posix=True, punctuation_chars=False)
    words.whitespace_split, words.commenters, words.escape = True, "", ""
    try:
        options = tuple(words)
    except ValueError as error:
        raise InputError(f"{where}: options {said['options'][:80]!r} have a quote that is not closed") from error
    return Row(line, said.get("system", ""), inputs, options, said.get("output", ""))
