"""A table of measures with targets, the real video's value beside each: Markdown for people, JSON for programs."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..atomic import whole_file


@dataclass(frozen=True)
class Row:
    """One measure: its mean over the clips, the real video's (None: it has none), bounds asked for, values by clip.

    key, better: of a registered metric (registry.py); interval, real_interval: of both means, None: not known.
    """

    section: str
    measure: str
    value: float
    real: float | None
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    clips: dict[str, float] = field(default_factory=dict)
    key: str = ""
    better: str = ""
    interval: tuple[float, float] | None = None
    real_interval: tuple[float, float] | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the target is met; None without one. NaN never meets it."""
        if self.at_least is None and self.at_most is None:
            return None
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return low <= self.value <= high

    @property
    def target(self) -> str:
        """The target in words, empty without one."""
        bounds = [(">=", self.at_least), ("<=", self.at_most)]
        return ", ".join(f"{sign} {number(bound)}" for sign, bound in bounds if bound is not None)


@dataclass(frozen=True)
class Report:
    """The finished table.

    `about` names what was measured (checkpoint, steps, data), in JSON's types; `protocol` says what each measure means;
    `left_out` what could not be measured, and why.
    """

    title: str
    rows: list[Row]
    about: dict[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every target is met."""
        return all(row.passed is not False for row in self.rows)

    def markdown(self) -> str:
        """A heading, a line for each entry of `about`, the table, and what the measures mean."""
        lines = [f"## {self.title}", "", *(f"- {key}: {value}" for key, value in self.about.items()), ""]
        lines += ["| section | measure | value | real video | target | met |", "|---|---|---|---|---|---|"]
        for row in self.rows:
            unit = f" {row.unit}" if row.unit else ""
            met = {True: "yes", False: "no", None: ""}[row.passed]
            real = "" if row.real is None else f"{number(row.real)}{unit}"
            lines.append(
                f"| {row.section} | {row.measure} | {number(row.value)}{unit} | {real} | {row.target} | {met} |"
            )
        if self.protocol:
            lines += ["", "How it is measured:", "", *(f"- {name}: {text}" for name, text in self.protocol.items())]
        return "\n".join([*lines, ""])

    def reasons(self) -> dict[str, list[str]]:
        """Why something was left out, and what all was left out for it."""
        reasons: dict[str, list[str]] = {}
        for title, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(title)
        return reasons

    def text(self) -> str:
        """The table in columns, for a terminal, without what the measures mean."""
        lines = [("", self.title, "generated", "real", "")]
        for before, row in zip([None, *self.rows], self.rows, strict=False):
            section = "" if before is not None and before.section == row.section else row.section
            real = "" if row.real is None else spread(row.real, row.real_interval)
            lines.append((section, row.measure, spread(row.value, row.interval), real, row.unit))
        widths = [max(len(line[column]) for line in lines) for column in range(5)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        table = [line.rstrip() for line in table]
        if self.left_out:
            table += [
                "",
                "left out:",
                *(f"  {', '.join(titles)}: {reason}" for reason, titles in self.reasons().items()),
            ]
        return "\n".join(table)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON; NaN and infinite numbers are null."""
        rows = [{**asdict(row), "target": row.target, "passed": row.passed} for row in self.rows]
        table = {"title": self.title, "about": self.about, "passed": self.passed, "rows": rows}
        return _finite({**table, "protocol": self.protocol, "left_out": self.left_out})

    def save(self, folder: str | Path, name: str = "report") -> tuple[Path, Path]:
        """Write `name`.md and `name`.json, each whole or not at all; returns their paths."""
        paths = Path(folder) / f"{name}.md", Path(folder) / f"{name}.json"
        texts = self.markdown(), json.dumps(self.as_dict(), indent=2, allow_nan=False) + "\n"
        for path, text in zip(paths, texts, strict=True):
            with whole_file(path) as part:
                part.write_text(text, encoding="utf-8")
        return paths


def spread(value: float, interval: tuple[float, float] | None) -> str:
    """A number, with its interval where there is one."""
    return number(value) + (f" [{number(interval[0])}, {number(interval[1])}]" if interval else "")


def number(value: float) -> str:
    """A number in three digits or so."""
    if abs(value) < 1e-9:
        return "0"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return value
