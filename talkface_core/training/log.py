"""A run's log: one CSV row every so many steps, safe to append to after a stop or a kill."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from ..atomic import whole_file

FIRST = ("step", "seconds", "lr", "grad_norm", "loss")


class CsvLog:
    """Rows of numbers by name. `keep_until`: rows of later steps, and a line torn by a kill, are dropped."""

    def __init__(self, path: Path, keep_until: int) -> None:
        self.path = path
        self.columns: list[str] = []
        self.rows: list[dict[str, str]] = []
        if path.is_file():
            with path.open(newline="") as file:
                lines = list(csv.reader(line for line in file if line.endswith("\n")))
            self.columns = lines[0] if lines else []
            whole = (line for line in lines[1:] if len(line) == len(self.columns))
            self.rows = [
                dict(zip(self.columns, line, strict=True))
                for line in whole
                if line[0].isdigit() and int(line[0]) <= keep_until
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
