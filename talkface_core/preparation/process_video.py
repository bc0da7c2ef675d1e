"""Processes one video: analyses it, plans its clips, cuts and checks them; they appear when all are whole."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av

from ..errors import InputError
from ..media.audio_reader import FileAudio
from ..media.timebase import FPS
from ..media.video_reader import VideoReader
from .analyse import analyse
from .contact_sheet import save_tiles
from .crop import clip_crops
from .cut import Cut, Tools, cut_clips
from .rules import LOW_RATE, NO_SOUND, TAKEN, TRAIN, VAL, Rules, plan, reasons, seconds_by_reason, val_start
from .source_video import SourceVideo

SHEETS = "sheets"
"""Folder of each film's own contact sheet."""

SLOWEST = 15
"""Frames per second below which lips cannot be followed."""

PARTS = (".npz", ".flac", ".mp4")
"""Of a clip, in the order of their appearing: a set is a folder of mp4 files."""


def process_video(
    film: SourceVideo,
    folder: Path,
    rules: Rules,
    tools: Tools,
    val: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Put the clips of a film into `folder`/train and `folder`/val; returns what the report says of the film.

    val: the share of what is usable, from the film's end, that is for validation; 1: all of it. `progress` is called
    with the number of frames just done, 0 after each clip of the second pass; what it raises ends the work. A file that
    is no film gives a report with a `problem`.
    """
    remove(film, folder)
    try:
        return _process(film, folder, rules, tools, val, progress)
    except (InputError, av.FFmpegError) as error:
        remove(film, folder)
        return _report(film, problem=" ".join(str(error).split()))


def remove(film: SourceVideo, folder: Path) -> None:
    """Take away what an earlier run left of this film."""
    for path in (*folder.glob(f"{TRAIN}/{film.name}_*"), *folder.glob(f"{VAL}/{film.name}_*")):
        path.unlink()
    (folder / SHEETS / f"{film.name}.jpg").unlink(missing_ok=True)
    shutil.rmtree(_workplace(film, folder), ignore_errors=True)


def _process(
    film: SourceVideo, folder: Path, rules: Rules, tools: Tools, val: float, progress: Callable[[int], None] | None
) -> dict[str, Any]:
    reader = VideoReader(film.path, square=True)
    frames = math.ceil((reader.num_frames or 0) * FPS / reader.fps)
    if not reader.has_audio:
        return _report(film, [NO_SOUND] * frames, problem="it has no sound")
    if reader.fps < SLOWEST:
        problem = f"it has {float(reader.fps):.3g} frames a second; lips need {SLOWEST}"
        return _report(film, [LOW_RATE] * frames, problem=problem)
    sound = FileAudio(film.path, origin=reader.start)
    analysis = analyse(reader, sound, tools.detector, tools.choice, progress)
    start = val_start(reasons(analysis.measured, rules), val, rules)
    spans, why = plan(analysis.measured, rules, start)
    kept: list[Cut] = []
    if spans and analysis.track is not None:
        crops = clip_crops(analysis.track, spans, analysis.measured.scene, rules)
        visible = [analysis.track.valid[span.start : span.stop] for span in spans]
        with ExitStack() as stack:
            work = _workplace(film, folder)
            work.mkdir(parents=True)
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            for cut in cut_clips(reader, sound, spans, crops, visible, film.name, work, tools):
                if progress:
                    progress(0)
                if cut.dropped:
                    why[cut.span.start : cut.span.stop] = [cut.dropped] * len(cut.span)
                else:
                    kept.append(cut)
            _publish(film, kept, work, folder)
    return _report(film, why, kept)


def _publish(film: SourceVideo, kept: Sequence[Cut], work: Path, folder: Path) -> None:
    if kept:
        save_tiles(folder / SHEETS / f"{film.name}.jpg", [cut.tile for cut in kept if cut.tile is not None])
    for cut in kept:
        target = folder / cut.span.split
        target.mkdir(exist_ok=True)
        for suffix in PARTS:
            os.replace(work / f"{cut.name}{suffix}", target / f"{cut.name}{suffix}")


def _workplace(film: SourceVideo, folder: Path) -> Path:
    return folder / f".{film.name}.part"


def _report(
    film: SourceVideo, why: Sequence[str] = (), kept: Sequence[Cut] = (), problem: str | None = None
) -> dict[str, Any]:
    clips = [{"name": cut.name, "split": cut.span.split, "start": cut.span.start / FPS, **cut.facts} for cut in kept]
    failure = {} if problem is None else {"problem": problem}
    return {
        "film": film.path.name,
        "name": film.name,
        "seconds": len(why) / FPS,
        "taken": sum(reason == TAKEN for reason in why) / FPS,
        "dropped": seconds_by_reason(why),
        **failure,
        "clips": clips,
    }
