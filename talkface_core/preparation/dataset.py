"""Prepares a data set of many videos: which are done, which are for validation, and the report on all.

`DATASET/prepare.json` holds the settings and what became of each film. It is written anew, whole, after each film, so
a run that was stopped goes on where it was, and more films can be added at any time.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..atomic import whole_file
from ..errors import InputError
from ..media.timebase import FPS
from ..media.video_reader import VideoReader
from ..parallel import worker_pool
from ..plain_json import parse_object
from .contact_sheet import write_pages
from .cut import Tools
from .process_video import SHEETS, process_video
from .rules import REASONS, TRAIN, VAL, Rules
from .source_video import SourceVideo

REPORT = "prepare.json"
VERSION = 1
SPLITS = ("auto", "film", "time")


class Stopped(Exception):
    """A worker was asked to end."""


def prepare(
    films: Sequence[SourceVideo],
    folder: str | Path,
    rules: Rules,
    tools: Tools,
    val: float = 0.0,
    split: str = "auto",
    workers: int = 1,
    quiet: bool = False,
    watch: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Make, or add to, the data set in `folder`: train/ and val/ hold <clip>.mp4, .flac and .npz. Returns the report.

    val: the share for validation, 0 to below 1. split: whole films go there ("film", for sets of many people), or the
    end of each film does ("time", for one person); "auto" takes films as soon as the share comes to one of them. A
    film keeps its side when others are added. `workers` films are worked on at a time, each with its threads' share.
    `watch` is told of the frames that were just looked at; what it raises ends the work.

    Raises InputError for a set that was made with other settings, and when no film gives a single clip.
    """
    folder = check_place(folder, val, split)
    sync = None if tools.sync is None else tools.sync.name
    state = State.open(folder, {**vars(rules), "detector": tools.detector.name, "sync": sync})
    todo = [film for film in films if not state.done(film)]
    shares = shares_of(films, state, val, split)
    stop = threading.Event()
    lengths = {film.key: _frames(film) for film in todo}
    total = sum(lengths.values())
    with tqdm(total=total, unit="frame", desc=folder.name, disable=quiet, smoothing=0.05) as bar:

        def work(film: SourceVideo) -> None:
            before = lengths[film.key]

            def progress(frames: int) -> None:
                if stop.is_set():
                    raise Stopped
                bar.update(frames)
                if watch is not None:
                    watch(frames)

            bar.set_postfix_str(film.path.name)
            outcome = process_video(film, folder, rules, tools, shares[film.key], progress)
            state.add(film, {**outcome, "val": shares[film.key]})
            bar.total += round(outcome["seconds"] * FPS) - before if not outcome.get("problem") else -before
            bar.refresh()

        _each(work, todo, workers, stop)
    return with_sheets(folder, state.report())


def with_sheets(folder: Path, report: dict[str, Any]) -> dict[str, Any]:
    """The report of a finished set, with the names of its contact sheets, which are written. Raises InputError where no
    film gave a clip."""
    if not any(film["clips"] for film in report["films"]):
        raise InputError(_nothing_taken(report))
    strips = [folder / SHEETS / f"{film['name']}.jpg" for film in report["films"] if film["clips"]]
    return {**report, "contact_sheets": [page.name for page in write_pages(folder, strips)]}


def check_place(folder: str | Path, val: float, split: str) -> Path:
    """The folder of a data set. Raises InputError for a file, and a share or split that is none."""
    if not 0 <= val < 1:
        raise InputError(f"a share of {val:g} for validation; give 0 or more and less than 1.")
    if split not in SPLITS:
        raise InputError(f"split {split!r} is unknown; choose one of {', '.join(SPLITS)}.")
    if Path(folder).is_file():
        raise InputError(f"data set {folder} is a file; give a folder.")
    return Path(folder)


def _each(
    work: Callable[[SourceVideo], None], films: Sequence[SourceVideo], workers: int, stop: threading.Event
) -> None:
    """work(film) for each; with several workers an error, or Ctrl-C, ends the others at their next frames."""
    if workers <= 1 or len(films) <= 1:
        for film in films:
            work(film)
        return
    with worker_pool(workers) as pool:
        try:
            for future in as_completed([pool.submit(work, film) for film in films]):
                future.result()
        except BaseException:
            stop.set()
            raise


class State:
    """What `prepare.json` says; the films that are done, by key."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], films: dict[str, dict[str, Any]]) -> None:
        self.folder, self.settings, self.films = folder, settings, films
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, settings: Mapping[str, Any]) -> State:
        """Raises InputError for a report that cannot be read, or that was made with other settings."""
        path = folder / REPORT
        if not path.is_file():
            if any(folder.glob(f"{TRAIN}/*.mp4")) or any(folder.glob(f"{VAL}/*.mp4")):
                raise InputError(f"{folder} holds clips but no {REPORT}; give another folder for the data set.")
            return cls(folder, settings, {})
        try:
            report = parse_object(path.read_text(encoding="utf-8"))
            films = {film["key"]: _checked(film) for film in report["films"]}
            former = dict(report["settings"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = str(error)[:200]
            raise InputError(f"{path} cannot be read ({told}); give another folder for the data set.") from error
        other = [
            f"{name} {former.get(name)}, now {value}" for name, value in settings.items() if former.get(name) != value
        ]
        if other:
            raise InputError(f"{folder} was made with other settings ({'; '.join(other)}); give another folder.")
        return cls(folder, settings, films)

    def done(self, film: SourceVideo) -> bool:
        """Whether a film needs no more work: films with a problem are tried again."""
        return film.key in self.films and "problem" not in self.films[film.key]

    def add(self, film: SourceVideo, result: Mapping[str, Any]) -> None:
        """Take down what became of a film."""
        with self._lock:
            self.films[film.key] = {"key": film.key, **result}
            self.write()

    def write(self) -> dict[str, Any]:
        """Write the report, whole; returns it."""
        report = self.report()
        with whole_file(self.folder / REPORT) as part:
            part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        return report

    def report(self) -> dict[str, Any]:
        """What is in the set, as `prepare.json` says it."""
        films = sorted(self.films.values(), key=lambda film: film["name"])
        clips = [clip for film in films for clip in film["clips"]]
        dropped = {reason: sum(film["dropped"].get(reason, 0) for film in films) for reason in REASONS}
        return {
            "format": "talkface data set",
            "version": VERSION,
            "settings": dict(self.settings),
            "seconds": sum(film["seconds"] for film in films),
            "taken": {split: sum(c["seconds"] for c in clips if c["split"] == split) for split in (TRAIN, VAL)},
            "clips": {split: sum(c["split"] == split for c in clips) for split in (TRAIN, VAL)},
            "dropped": {reason: seconds for reason, seconds in dropped.items() if seconds},
            "films": films,
        }


def read_settings(folder: Path) -> dict[str, Any]:
    """What the set in a folder was made with. Raises InputError."""
    path = folder / REPORT
    try:
        return dict(parse_object(path.read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({str(error)[:200]}); prepare the set again") from error


def by_film(films: int, val: float, split: str) -> bool:
    """Whether whole films go to validation, of so many films, and not the end of each."""
    return not (split == "time" or (split == "auto" and val * films < 1))


def _checked(film: Any) -> dict[str, Any]:
    """What a report says of a film, as this module wrote it. Raises one of the errors of a wrong kind otherwise."""
    clips, dropped = film["clips"], film["dropped"]
    numbers = [film["seconds"], film["taken"], film["val"], *dropped.values(), *(clip["seconds"] for clip in clips)]
    texts = [film["key"], film["name"], film["film"], film.get("problem", ""), *dropped]
    if not all(type(number) in (int, float) and 0 <= number < 1e12 for number in numbers):
        raise ValueError("a film's seconds are no numbers")
    if not all(isinstance(text, str) for text in texts) or any(clip["split"] not in (TRAIN, VAL) for clip in clips):
        raise ValueError("a film without a name, or a clip of no split")
    if not film["name"] or Path(film["name"]).name != film["name"]:
        raise ValueError("a film's name is a path")
    return film


def shares_of(films: Sequence[SourceVideo], state: State, val: float, split: str) -> dict[str, float]:
    """The share of each film that is for validation: that which it has had, else by `split`."""
    known = {key: float(film["val"]) for key, film in state.films.items()}
    every = {film.key: film for film in films}
    count = len(every.keys() | known.keys())
    if not by_film(count, val, split):
        return {key: known.get(key, val) for key in every}
    wanted = round(val * count) if val else 0
    if val and split == "film":
        wanted = max(wanted, 1) if count > 1 else 0
    wanted -= sum(share == 1 for share in known.values())
    # Keys are hashes of the content: in their order films are drawn at random, and alike in every run.
    drawn = set(sorted(key for key in every if key not in known)[: max(wanted, 0)])
    return {key: known.get(key, float(key in drawn)) for key in every}


def _frames(film: SourceVideo) -> int:
    """About how many frames a film has at 25 per second; 0 where that is not known."""
    try:
        reader = VideoReader(film.path, square=True)
        return round((reader.num_frames or 0) * FPS / reader.fps)
    except (InputError, OSError):
        return 0


def _nothing_taken(report: Mapping[str, Any]) -> str:
    films = report["films"]
    problems = [f"{film['film']}: {film['problem']}" for film in films if "problem" in film]
    reasons = [f"{reason} {seconds:.1f} s" for reason, seconds in report["dropped"].items()]
    causes = "; ".join(filter(None, [", ".join(reasons), *problems[:3]]))
    return (
        f"no clip was taken from {len(films)} videos ({causes}); give footage of a face that speaks, near and frontal."
    )
