"""What is done of a person, in `personalise.json`: written anew, whole, after each stage, so that a rerun goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..atomic import whole_file
from ..errors import InputError
from ..plain_json import parse_object
from ..preparation.source_video import SourceVideo
from .footage import Look
from .settings import Settings, told

STATE = "personalise.json"
LOCK = "personalise.lock"
FORMAT = "talkface person"
VERSION = 1


@dataclass
class State:
    """folder: the person's; settings and films (key -> file's name) as they were begun with; done: what each finished
    stage gave; plan: steps of each training stage, and the seconds of one when they were measured; spent and computed:
    seconds by stage over all sittings, of the clock and of all processor cores together."""

    folder: Path
    settings: dict[str, Any]
    films: dict[str, str]
    done: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    computed: dict[str, float] = field(default_factory=dict)
    longer: bool = False

    @classmethod
    def open(cls, folder: str | Path, settings: Settings, films: Sequence[SourceVideo]) -> State:
        """The state of a folder, or a new one. A larger budget than before is taken up: `longer` then says so.

        Raises InputError for a folder of something else, and for other settings or films than it was begun with.
        """
        folder = Path(folder)
        asked, keys = asdict(settings), {film.key: film.path.name for film in films}
        path = folder / STATE
        if folder.is_file():
            raise InputError(f"{folder} is a file; give the name of a folder for the person.")
        if not path.is_file():
            if folder.is_dir() and any(folder.iterdir()):
                raise InputError(f"{folder} holds other things and no {STATE}; give a new name, or an empty folder.")
            return cls(folder, asked, keys)
        try:
            stored = parse_object(path.read_text(encoding="utf-8"))
            if stored["format"] != FORMAT or stored["version"] != VERSION:
                raise ValueError(f"format {stored['format']!r}, version {stored['version']!r}")
            parts = [dict(stored[name]) for name in ("settings", "films", "done", "plan", "spent", "computed")]
            budget = float(parts[0]["budget"])
            if not all(
                type(value) in (int, float) and 0 <= value < 1e12 for part in parts[4:] for value in part.values()
            ):
                raise ValueError("seconds that are none")
            if "look" in parts[2]:
                Look.of(parts[2]["look"])
            if not all(plan["steps"] > 0 and plan["seconds_step"] > 0 for plan in parts[3].values()):
                raise ValueError("a plan of no steps")
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} cannot be read ({str(error)[:200]}); give another name.") from error
        begun, known, done, plan, spent, computed = parts
        state = cls(folder, begun, known, done, plan, spent, computed)
        if state.films.keys() != keys.keys():
            raise InputError(
                f"{folder} was begun with other videos ({', '.join(state.films.values())}); give another name."
            )
        other = [f"{name} {parts[0].get(name)}, now {value}" for name, value in asked.items()
                 if name != "budget" and parts[0].get(name) != value]  # fmt: skip
        if other:
            raise InputError(
                f"{folder} was begun with other settings ({'; '.join(other)}); give those, or another name."
            )
        if settings.budget < budget:
            raise InputError(
                f"{folder} was begun with a budget of {told(budget)}; give that or more, not "
                f"{told(settings.budget)}, or another name."
            )
        state.longer = settings.budget > budget
        state.settings["budget"] = settings.budget
        return state

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other process works on the person. Raises InputError where one does."""
        lock = FileLock(self.folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"another run is at work in {self.folder}; wait for it, or end it first.") from error
        try:
            yield
        finally:
            lock.release()

    def forget(self, *stages: str) -> None:
        """Stages that are to be done again, or for longer."""
        for stage in stages:
            self.done.pop(stage, None)
            self.plan.pop(stage, None)
        self.longer = False
        self.save()

    def finish(self, stage: str, result: Any) -> None:
        """A stage is done."""
        self.done[stage] = result
        self.save()

    @contextmanager
    def clock(self, stage: str) -> Iterator[None]:
        """Counts the block's seconds to a stage, however it ends."""
        began, computed = time.monotonic(), time.process_time()
        try:
            yield
        finally:
            self.spent[stage] = self.spent.get(stage, 0.0) + time.monotonic() - began
            self.computed[stage] = self.computed.get(stage, 0.0) + time.process_time() - computed
            self.save()

    @property
    def seconds(self) -> float:
        """Spent in all."""
        return sum(self.spent.values())

    def save(self) -> None:
        """Write it, whole or not at all."""
        content = {
            **{"format": FORMAT, "version": VERSION, "settings": self.settings, "films": self.films},
            **{"done": self.done, "plan": self.plan, "spent": self.spent, "computed": self.computed},
        }
        with whole_file(self.folder / STATE) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
