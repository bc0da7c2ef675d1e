"""What became of every job: a table for people, a CSV file and JSON."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..atomic import whole_file
from .job import DONE, FAILED, SKIPPED, Outcome
from .schedule import Ticket

RESULTS = "results.csv"
STOPPED = "not done"
_SHOWN = 40
"""Rows of the table that people are shown; what failed comes first."""

_COLUMNS = (
    "line",
    "output",
    "status",
    "attempts",
    "seconds",
    "seconds_cpu",
    "frames",
    "seconds_audio",
    "worker",
    "error",
)


def rows_of(tickets: Sequence[Ticket]) -> list[dict[str, Any]]:
    """One row for each job, in the table's order."""
    rows = []
    for ticket in sorted(tickets, key=lambda ticket: ticket.job.line):
        outcome = ticket.outcome or Outcome(STOPPED)
        rows.append(
            {
                "line": ticket.job.line,
                "output": ticket.job.output,
                "status": outcome.end,
                "attempts": ticket.attempts,
                "seconds": round(outcome.seconds, 2),
                "seconds_cpu": round(outcome.seconds_cpu, 2),
                "frames": outcome.result.get("frames"),
                "seconds_audio": outcome.result.get("seconds_audio"),
                "worker": outcome.worker,
                "error": outcome.error,
            }
        )
    return rows


def write_results(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows as a CSV file, whole. Raises OSError."""
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def counted(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many jobs ended how."""
    counts = Counter(row["status"] for row in rows)
    return {status: counts[status] for status in (DONE, SKIPPED, FAILED, STOPPED) if counts[status]}


def table_text(rows: Sequence[dict[str, Any]]) -> str:
    """Failed jobs first, then the others, as many as one looks at; and the counts."""
    ordered = sorted(rows, key=lambda row: (row["status"] in (DONE, SKIPPED), row["line"]))
    shown = [
        (str(row["line"]), row["status"], f"{row['seconds']:.1f}", str(row["attempts"]), row["output"], row["error"])
        for row in ordered[:_SHOWN]
    ]
    titles = ("line", "status", "seconds", "attempts", "output", "error")
    wide = [max(len(cells[k]) for cells in [titles, *shown]) for k in range(len(titles) - 1)]
    lines = [
        "  ".join([*(c.ljust(w) for c, w in zip(cells, wide, strict=False)), cells[-1]]).rstrip()
        for cells in [titles, *shown]
    ]
    if len(ordered) > _SHOWN:
        lines.append(f"… and {len(ordered) - _SHOWN} more")
    return "\n".join([*lines, ", ".join(f"{count} {status}" for status, count in counted(rows).items())])
