"""The report of a data set as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NAME = 28  # letters of a film's name that are shown


def table(report: Mapping[str, Any]) -> str:
    """Seconds of each film, taken and dropped by reason, and all together; problems below."""
    reasons = list(report["dropped"])
    head = ["film", "seconds", "taken", "clips", "val", *reasons]
    rows = [_row(film, reasons) for film in report["films"]]
    taken, clips = report["taken"], report["clips"]
    total = [report["seconds"], sum(taken.values()), sum(clips.values()), clips["val"], *report["dropped"].values()]
    rows.append(["all", *map(_number, total)])
    lines = _columns([head, *rows])
    lines += [f"{film['film']}: skipped, {film['problem']}" for film in report["films"] if "problem" in film]
    return "\n".join(lines)


def _row(film: Mapping[str, Any], reasons: Sequence[str]) -> list[str]:
    name = film["film"] if len(film["film"]) <= _NAME else film["film"][: _NAME - 1] + "…"
    val = sum(clip["split"] == "val" for clip in film["clips"])
    numbers = [film["seconds"], film["taken"], len(film["clips"]), val]
    return [name, *map(_number, [*numbers, *(film["dropped"].get(reason, 0.0) for reason in reasons)])]


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.1f}" if value else "-"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names to the left, numbers to the right."""
    names, *numbers = zip(*rows, strict=True)
    columns = [[name.ljust(max(map(len, names))) for name in names]]
    columns += [[cell.rjust(max(map(len, column))) for cell in column] for column in numbers]
    return ["  ".join(row) for row in zip(*columns, strict=True)]
