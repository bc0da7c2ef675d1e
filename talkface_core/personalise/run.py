"""A person of one's own, from footage to a checkpoint: look, prepare, train, join, measure, report.

Each stage leaves its result in the person's folder, so that the same call goes on where the last one ended, whatever
ended it. A larger budget than before trains on from what is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..device import pick_device
from ..errors import InputError
from ..faces.choose import FaceChoice
from ..faces.detect import find_detector
from ..installed import require_training
from ..media.picture_writer import write_picture
from ..media.timebase import FPS
from ..preparation.cut import Tools
from ..preparation.dataset import prepare
from ..preparation.quality import find_sync
from ..preparation.rules import TRAIN, VAL, Rules
from ..preparation.source_video import SourceVideo, find_videos
from .footage import Look, look, verdict
from .measure import AFTER, BEFORE, held_out, measure, numbers
from .report import sheet, summary, write_page
from .settings import Settings, told
from .stages import LEAST_STEPS, SHARP, SPEECH, STAGES, suits, train_stage
from .state import State
from .watching import Watcher
from .weights import beginnings, join

DATA, FILMS = "data", "measured"
PAGE, SHEET = "report.html", "sheet.png"

_LEAST_TRAIN = 5.0  # seconds of clips to train on
_MEASURED = 10.0  # seconds of the held-out footage that are measured
# Seconds of one core, about: loading what makes and measures films, and a frame on both sides in all three ways.
_MEASURING_FIRST, _MEASURING = 25.0, 0.6
# The same of the training: the first steps of all stages, and reading a second of the footage for them.
_FIRST_STEPS, _READING = 20.0, 0.3
_TRAINING = 0.4  # share of the budget that training has, however long the rest takes
_PREPARING = 0.6  # of the time of searching each frame for faces: a face that is known is followed, which is cheaper


@dataclass(frozen=True)
class Person:
    """What came of it: the checkpoint, the page, the numbers in JSON's types, and lines for people."""

    checkpoint: Path
    page: Path
    numbers: dict[str, Any]
    lines: list[str]
    state: State


@dataclass(frozen=True)
class Expected:
    """What is known before the work begins: lines on the footage and on the time, seconds of each part."""

    found: Look
    lines: list[str]
    seconds: dict[str, float]


def expect(
    videos: Sequence[str | Path], settings: Settings, device: str = "auto", watcher: Watcher | None = None
) -> Expected:
    """Look at the footage and say what it is good for and how long the work will take here. Raises InputError."""
    beginnings(settings)
    films = find_videos(videos)
    return _expected(look(films, _detector(device), settings, watcher), settings)


def personalise(
    videos: Sequence[str | Path],
    folder: str | Path,
    checkpoint: str | Path,
    settings: Settings | None = None,
    device: str = "auto",
    quiet: bool = False,
    watcher: Watcher | None = None,
) -> Person:
    """Make a person of videos, or go on with one: all in `folder`, the weights in the file `checkpoint`.

    Raises InputError for footage that is good for nothing, for another person's folder, for one that another run is at
    work in or that lies among the videos, and where training's packages are missing; Stopped where the watcher ends it.
    """
    require_training()
    settings, watcher, checkpoint = settings or Settings(), watcher or Watcher(), Path(checkpoint)
    if checkpoint.suffix != ".safetensors":
        raise InputError(f"{checkpoint}: a checkpoint's name ends in .safetensors, not {checkpoint.suffix!r}.")
    begun = beginnings(settings)
    for name in videos:
        if Path(folder).resolve().is_relative_to(Path(name).resolve()) and Path(name).is_dir():
            raise InputError(
                f"{folder} lies in {name}: what is made would be footage next time; give a name elsewhere."
            )
    films = find_videos(videos)
    state = State.open(folder, settings, films)
    if checkpoint.exists() and not state.done:
        raise InputError(f"{checkpoint} is there already and is not of this person; give another name.")
    expected = _looked(state, films, settings, device, watcher)
    with state.alone():
        state = State.open(folder, settings, films)  # another run may have gone on with it in between
        if state.longer:
            for stage in (SPEECH, SHARP):  # latents and frames will be others
                shutil.rmtree(state.folder / stage.name, ignore_errors=True)
            shutil.rmtree(state.folder / FILMS, ignore_errors=True)
            state.forget(*(stage.name for stage in STAGES), "join", "measure")
        data = _prepared(state, films, settings, device, quiet, watcher, expected)
        _trained(state, settings, data, device, quiet, watcher)
        if "join" not in state.done or not checkpoint.is_file():
            join(state, begun, checkpoint)
            state.finish("join", {"file": checkpoint.name})
        if "measure" not in state.done or not (state.folder / PAGE).is_file():
            _measured(state, settings, data, checkpoint, expected, device, quiet, watcher)
        for stage in STAGES:
            # Decoded frames: made again if need be.
            shutil.rmtree(state.folder / stage.name / "cache", ignore_errors=True)
        values = state.done["measure"]
        lines = [*expected.lines[:-1], *summary(state, values)]
        return Person(checkpoint, state.folder / PAGE, values, lines, state)


def _measuring(seconds: float) -> float:
    """How long measuring so many seconds of the held-out footage takes, about."""
    return _MEASURING_FIRST + _MEASURING * FPS * seconds


def _seconds_measured(settings: Settings) -> float:
    """Of the held-out footage: fewer where all is to be over in a minute, to see that it works."""
    return min(_MEASURED, max(settings.budget / 20, 1.0))


def _detector(device: str) -> Any:
    return find_detector("bundled", pick_device(device))


def _expected(found: Look, settings: Settings) -> Expected:
    share = settings.share_held_out(found.seconds)
    prepare_seconds = _PREPARING * found.a_second * found.seconds
    measuring = _measuring(min(_seconds_measured(settings), max(share * found.seconds, 2.0)))
    least = max(_FIRST_STEPS + _READING * found.seconds, _TRAINING * settings.budget)
    training = max(settings.budget - prepare_seconds - measuring, least)
    seconds = {"prepare": prepare_seconds, "train": training, "measure": measuring}
    total = sum(seconds.values())
    spent = ", ".join(f"{name} {told(value)}" for name, value in seconds.items())
    time = f"time: about {told(total)} on this machine ({spent})"
    if total > settings.budget + 1:
        time += (
            f", as a budget of {told(settings.budget)} is too little: all footage is prepared, each stage trains "
            f"{LEAST_STEPS} steps at least, all together {_TRAINING:.0%} of the budget, and what came of it is measured"
        )
    return Expected(found, [*verdict(found), time], seconds)


def _looked(state: State, films: Sequence[SourceVideo], settings: Settings, device: str, watcher: Watcher) -> Expected:
    watcher.stage("look", "what the footage is good for")
    if "look" in state.done:
        found = Look.of(state.done["look"])
    else:
        found = look(films, _detector(device), settings, watcher)
        # Nobody waits for a look, so another run may be further by now: what it noted stays.
        if "look" not in State.open(state.folder, settings, films).done:
            state.finish("look", found.as_dict())
    expected = _expected(found, settings)
    for line in expected.lines:
        watcher.says(line)
    if state.spent:
        watcher.says(f"going on: {told(state.seconds)} of {told(settings.budget)} are spent")
    return expected


def _prepared(
    state: State,
    films: Sequence[SourceVideo],
    settings: Settings,
    device: str,
    quiet: bool,
    watcher: Watcher,
    expected: Expected,
) -> Path:
    data = state.folder / DATA
    if "prepare" in state.done:
        return data
    watcher.stage("prepare", "the footage is cut into clips")
    total, done = max(2 * FPS * expected.found.seconds, 1.0), 0

    def watch(frames: int) -> None:
        nonlocal done
        done += frames
        watcher.advance(min(done / total, 1.0))
        watcher.check()

    place = pick_device(device)
    tools = Tools(find_detector("bundled", place), _choice(settings.face), sync=find_sync(place))
    with state.clock("prepare"):
        share = settings.share_held_out(expected.found.seconds)
        report = prepare(films, data, Rules(), tools, share, "time", quiet=quiet, watch=watch)
    taken, dropped = report["taken"], report["dropped"]
    if taken[TRAIN] < _LEAST_TRAIN or not report["clips"][VAL]:
        why = ", ".join(f"{reason} {seconds:.1f} s" for reason, seconds in dropped.items()) or "too short"
        raise InputError(
            f"{taken[TRAIN]:.1f} s to train on and {taken[VAL]:.1f} s to measure are left of the footage ({why}); "
            f"{_LEAST_TRAIN:g} s and 2 s are the least: give more of it."
        )
    state.finish("prepare", {"taken": taken, "dropped": dropped, "clips": report["clips"]})
    watcher.says(f"prepared: {taken[TRAIN]:.1f} s to train on, {taken[VAL]:.1f} s held out")
    return data


def _choice(face: str) -> FaceChoice:
    return FaceChoice("index", int(face)) if face.isdecimal() else FaceChoice("largest" if face == "only" else face)


def _trained(state: State, settings: Settings, data: Path, device: str, quiet: bool, watcher: Watcher) -> None:
    reserve = _measuring(_seconds_measured(settings))
    wanted = [stage for stage in STAGES if stage.name not in state.done]
    left = [stage for stage in wanted if suits(stage, settings, data)]
    for stage in wanted:
        if stage not in left:
            watcher.says(f"{stage.name}: left out: the head is filmed too small to learn a larger face of it")
    while left:
        stage = left[0]
        own = state.spent.get(stage.name, 0.0)  # of an earlier sitting: its share was fixed then
        time = max(settings.budget - (state.seconds - own) - reserve, _TRAINING * settings.budget)
        allowed = time * stage.share / sum(other.share for other in left)
        watcher.stage(stage.name, stage.about)
        with state.clock(stage.name):
            result = train_stage(stage, state, settings, data, allowed, device, quiet, watcher)
        state.finish(stage.name, result)
        left = left[1:]


def _measured(
    state: State,
    settings: Settings,
    data: Path,
    checkpoint: Path,
    expected: Expected,
    device: str,
    quiet: bool,
    watcher: Watcher,
) -> None:
    watcher.stage("measure", "the held-out end, before and after")
    clips = held_out(data, _seconds_measured(settings))
    weights: dict[str, tuple[str | Path, str | Path]] = {
        BEFORE: (settings.talker, settings.texture),
        AFTER: (checkpoint, checkpoint),
    }
    with state.clock("measure"):
        detector, seconds = _detector(device), _seconds_measured(settings)
        measured = measure(state.folder / FILMS, clips, weights, detector, device, quiet, watcher, seconds)
    values = numbers(measured)
    state.done["measure"] = values
    write_picture(state.folder / SHEET, sheet(measured))
    write_page(state.folder / PAGE, state.folder.name, checkpoint, expected.lines, state, measured)
    state.finish("measure", values)
