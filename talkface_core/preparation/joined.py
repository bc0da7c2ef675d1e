"""Data sets of one film each, which several machines prepared, as the one set that `prepare` makes of all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from .dataset import REPORT, State, check_place, read_settings, shares_of, with_sheets
from .process_video import PARTS, SHEETS
from .rules import TRAIN, VAL
from .source_video import SourceVideo


def join_sets(
    sets: Sequence[str | Path],
    folder: str | Path,
    val: float = 0.0,
    split: str = "auto",
    former: str | Path | None = None,
) -> dict[str, Any]:
    """Make the data set in `folder`, new, of those in `sets`, whose clips are linked or copied. Returns the report.

    val, split: as of `prepare`; sets whose films end in validation were cut so already, whole films change sides here.
    A film keeps the side that it has in the set `former`. Raises InputError where settings differ, and for no clip.
    """
    folder = check_place(folder, val, split)
    if not sets:
        raise InputError("no data set was given to join")
    settings = read_settings(Path(sets[0]))
    state = State.open(folder, settings)
    if former is not None and (Path(former) / REPORT).is_file() and read_settings(Path(former)) == settings:
        state.films = {key: {**film, "clips": []} for key, film in State.open(Path(former), settings).films.items()}
    whole = {key: (Path(part), film) for part in sets for key, film in State.open(Path(part), settings).films.items()}
    sources = [SourceVideo(Path(film["film"]), key, film["name"]) for key, (_, film) in whole.items()]
    shares = shares_of(sources, state, val, split)
    state.films = {}
    for key, (part, film) in whole.items():
        side = {0.0: TRAIN, 1.0: VAL}.get(shares[key])
        clips = [{**clip, "split": side or clip["split"]} for clip in film["clips"]]
        for clip, cut in zip(clips, film["clips"], strict=True):
            for suffix in PARTS:
                _link(part / cut["split"] / f"{cut['name']}{suffix}", folder / clip["split"] / f"{cut['name']}{suffix}")
        if clips:
            _link(part / SHEETS / f"{film['name']}.jpg", folder / SHEETS / f"{film['name']}.jpg")
        state.films[key] = {**film, "clips": clips, "val": shares[key]}
    return with_sheets(folder, state.write())


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a disk that knows no links; what is wrong with the file itself the copy tells
        shutil.copy2(source, target)
