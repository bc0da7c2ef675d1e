"""A run's losses: fetched from the device as seldom as can be, and written as one CSV row every so many steps.

The log is safe to append to after a stop or a kill.
"""

import csv
import io
import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from ..atomic import whole_file
from ..errors import InputError

FIRST = ("step", "seconds", "lr", "grad_norm", "loss")


class Meter:
    """Sums of named values since the last row. `sums` (name -> [sum, count]) is what a state keeps of it."""

    def __init__(self, accelerator: Accelerator, sums: Mapping[str, list[float]] | None = None) -> None:
        self.sums = {name: list(pair) for name, pair in (sums or {}).items()}
        self._accelerator = accelerator
        self._pending: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, step: int, values: Mapping[str, Tensor]) -> None:
        """Remember a step's scalars without waiting for the device to compute them."""
        self._pending.append((step, dict(values)))

    def settle(self) -> tuple[int, dict[str, float]] | None:
        """Fetch what is pending in one transfer; the first step with a value that is not finite, if any."""
        if not self._pending:
            return None
        fetched = iter(torch.stack([value for _, values in self._pending for value in values.values()]).tolist())
        pending, self._pending = self._pending, []
        for step, values in pending:
            numbers = {name: next(fetched) for name in values}
            if not all(map(math.isfinite, numbers.values())):
                return step, numbers
            for name, number in numbers.items():
                pair = self.sums.setdefault(name, [0.0, 0])
                pair[0] += number
                pair[1] += 1
        return None

    def means(self) -> dict[str, float]:
        """The means since the last call, over all processes (every one must call it); begins a new window."""
        means = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        if self._accelerator.num_processes == 1:
            return means
        own = torch.tensor(list(means.values()), device=self._accelerator.device)
        return dict(zip(means, self._accelerator.reduce(own, "mean").tolist(), strict=True))


class CsvLog:
    """Rows of numbers by name. `keep_until`: rows of later steps, and a line torn by a kill, are dropped."""

    def __init__(self, path: Path, keep_until: int) -> None:
        self.path = path
        self.columns: list[str] = []
        self.rows: list[dict[str, str]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8", errors="replace") as file:
                try:
                    lines = list(csv.reader(line for line in file if line.endswith("\n")))
                except csv.Error as error:
                    raise InputError(f"{path}: no log of a run ({error}); move it away.") from error
            self.columns = lines[0] if lines else []
            whole = (line for line in lines[1:] if len(line) == len(self.columns))
            self.rows = [
                dict(zip(self.columns, line, strict=True))
                for line in whole
                if re.fullmatch("[0-9]{1,15}", line[0]) and int(line[0]) <= keep_until
            ]
            self._rewrite()

    def write(self, row: Mapping[str, float]) -> None:
        """Append a row at once; a name that is new gets a column, empty in the rows before."""
        texts = {name: str(value) if isinstance(value, int) else f"{value:.6g}" for name, value in row.items()}
        self.rows.append(texts)
        if texts.keys() <= set(self.columns):
            with self.path.open("a", newline="") as file:
                file.write(self._line(texts))
        else:
            names = {*self.columns, *texts}
            self.columns = [*(name for name in FIRST if name in names), *sorted(names - set(FIRST))]
            self._rewrite()

    def _line(self, row: Mapping[str, str]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([row.get(name, "") for name in self.columns])
        return text.getvalue()

    def _rewrite(self) -> None:
        with whole_file(self.path) as part, part.open("w", newline="") as file:
            file.write(",".join(self.columns) + "\n" if self.columns else "")
            file.writelines(self._line(row) for row in self.rows)
