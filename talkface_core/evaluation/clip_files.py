"""Clips on disk: which generated file belongs to which real one, and a pair of them read and tracked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..arrays import read_npz
from ..errors import InputError
from ..faces.face import Detector
from ..media.container import SUFFIXES
from ..media.timebase import FPS
from ..plain_json import parse_json
from ..speech.features import LogMel
from ..speech.vad import VoiceActivityGate
from .footage import Footage, Pair, film_frames, film_sound, known_closures, read_footage
from .report import pauses

_SPEAKS = 0.5  # gain of the gate from which on somebody speaks


@dataclass(frozen=True)
class ClipFiles:
    """A generated film and the real one of its name."""

    name: str
    generated: Path
    real: Path


def pair_files(generated: str | Path, real: str | Path) -> tuple[list[ClipFiles], list[str]]:
    """Two films, or two folders whose films are paired by their names, and the names that stand in one folder alone.

    A film in a folder within the folder is paired with the one in the folder of the same name, whatever both files'
    endings are. Raises InputError for what does not exist and where nothing is paired.
    """
    made, true = Path(generated), Path(real)
    for path, what in ((made, "generated"), (true, "reference")):
        if not path.exists():
            raise InputError(f"{what} {path} does not exist; check the name and the folder")
    if made.is_file() and true.is_file():
        return [ClipFiles(made.stem, made, true)], []
    if made.is_file():
        made_films, true_films = {made.stem: made}, _films(true)
        true_films = {name: path for name, path in true_films.items() if name == made.stem}
    elif true.is_file():
        raise InputError(f"{made} is a folder and {true} a file; give two files or two folders")
    else:
        made_films, true_films = _films(made), _films(true)
    both = sorted(made_films.keys() & true_films.keys())
    if not both:
        some = ", ".join(sorted(made_films)[:3])
        raise InputError(f"no film in {true} has the name of one in {made} ({some}); name each pair alike")
    return [ClipFiles(name, made_films[name], true_films[name]) for name in both], sorted(
        made_films.keys() ^ true_films.keys()
    )


def read_pair(
    files: ClipFiles,
    detector: Detector,
    gate: VoiceActivityGate | None = None,
    seconds: float | None = None,
    hushed: Path | None = None,
    progress: Callable[[NDArray[np.uint8]], None] | None = None,
    real: Footage | None = None,
) -> Pair:
    """Both films of a pair, tracked; beside the real one may lie its truth, `<name>.npz`. `real`: the real one, where
    it was read before. Raises InputError."""

    def footage(path: Path, other: Path | None = None, silent: bool = False) -> Footage:
        return read_footage_of(path, detector, seconds, other, silent, progress)

    made = footage(files.generated, files.real)
    real = footage(files.real) if real is None else real
    quiet = spoken_pauses(made if made.sound is not None else real, gate)
    truth = read_truth(files.real.with_suffix(".npz"))
    return Pair.of(
        *(files.name, made, real),
        closures=known_closures(truth, len(real)),
        pauses=quiet,
        hushed=None if hushed is None else footage(hushed, silent=True),
    )


def read_footage_of(
    path: Path,
    detector: Detector,
    seconds: float | None = None,
    other: Path | None = None,
    silent: bool = False,
    progress: Callable[[NDArray[np.uint8]], None] | None = None,
) -> Footage:
    """One film, tracked, with its sound (see `film_sound`), or without where it is `silent`. Raises InputError."""
    sound = None if silent else film_sound(path, seconds, other)
    return read_footage(path.name, film_frames(path, seconds), detector, sound, progress)


def read_truth(path: Path) -> dict[str, Any]:
    """What is known of a clip beside it: `phonemes` and `pp_frames`, as far as they are there. Raises InputError."""
    if not path.is_file():
        return {}
    truth: dict[str, Any] = dict(read_npz(path, "phonemes", "pp_frames"))
    if "phonemes" in truth:
        try:
            truth["phonemes"] = parse_json(str(truth["phonemes"]))
        except ValueError as error:
            raise InputError(f"{path}: its phonemes are no JSON ({error})") from error
    return truth


@torch.no_grad()
def spoken_pauses(clip: Footage, gate: VoiceActivityGate | None) -> NDArray[np.bool_] | None:
    """Frames [T] five or more from any speech in a clip's sound; None without sound or gate."""
    if gate is None or clip.mel is None:
        return None
    speaks = (gate.gain(clip.mel[None])[0] > _SPEAKS).numpy()
    edges = (np.arange(len(clip) + 1) * float(LogMel.rate) / FPS).round().astype(int)
    frames = [bool(speaks[a:b].any()) for a, b in pairwise(edges.tolist())]
    return pauses(frames)


def _films(folder: Path) -> dict[str, Path]:
    films: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in inside.parts):
            continue
        name = str(inside.with_suffix(""))
        if name in films:
            raise InputError(f"{films[name].name} and {path.name} in {folder} are both called {name}; keep one")
        films[name] = path
    if not films:
        raise InputError(f"folder {folder} holds no video ({', '.join(sorted(SUFFIXES))})")
    return films
