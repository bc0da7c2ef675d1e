"""All systems and their joins on the same films, in one table: quality beside the real films, speed and memory.

    python -m benchmarks.all_systems --data SPLIT… [--films DIR] --out DIR [--clips 4] [--seconds 4] [--ear FILE]
        [--weights FILE…]

Each system says a clip's own words with as much of the clip as it takes (see `all_systems_run`): dubbing has references
a second away or more, the animation the first frame, the others the voice alone. What they make lies in DIR/SYSTEM/SET
and is measured by the metrics of `evaluate`; what cannot be measured of a system (pixels, where another person is seen)
is empty. Speed is in seconds of the processor, of all threads, for everything but loading: other work on the machine
changes it little. Memory is the process's peak. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.all_systems_run import HEARS, NEEDS_SPEECH, OTHER_PEOPLE, SYSTEMS
from benchmarks.ending import files_in, run_program
from benchmarks.speak import ROOT, machine
from talkface_core.atomic import whole_file
from talkface_core.evaluation.catalogue import chosen
from talkface_core.evaluation.clip_files import ClipFiles, read_footage_of, read_pair
from talkface_core.evaluation.evaluate import score
from talkface_core.evaluation.footage import Footage
from talkface_core.evaluation.kit import bundled_kit, with_files
from talkface_core.evaluation.table import number
from talkface_core.faces.bundled import load_bundled
from talkface_core.media.container import SUFFIXES
from talkface_core.training.arguments import above_zero

METRICS = {
    "opening": "opening r",
    "spread": "spread",
    "closures": "shut at p, b, m",
    "open_silence": "open in silence",
    "lmd": "LMD, %",
    "psnr_mouth": "PSNR mouth, dB",
    "sharpness_mouth": "sharpness",
    "lip_colour": "lip colour",
    "flicker_mouth": "flicker",
    "confidence": "sync confidence",
}
"""Keys of the registry of metrics, and the table's words."""

BROUGHT = {"identity": "likeness", "lpips": "LPIPS (VGG)", "lpips_alex": "LPIPS (AlexNet)"}
"""Those whose instruments `--weights` bring, columns where some clip has them."""

OF_THE_PERSON = ("lmd", "psnr_mouth", "lip_colour", *BROUGHT)
"""Those that say nothing where the real clip shows somebody else."""

BY_REAL = ("sharpness_mouth", "flicker_mouth", "confidence")
"""Those that are shown by the real clip's."""

EAR = " by ear"


@dataclass(frozen=True)
class Film:
    """A real clip, and where its words are: in a file beside it, or in itself."""

    name: str
    path: Path
    sound: Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="SPLIT", help="folders of clips with truth")
    parser.add_argument("--films", type=Path, metavar="DIR", help="a folder of films with sound")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--system", nargs="+", choices=tuple(SYSTEMS), default=list(SYSTEMS), help="default: all")
    parser.add_argument(
        "--clips", type=above_zero(int), default=4, metavar="N", help="of each set, evenly (default: 4)"
    )
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="of each clip at most (default: 4)")
    parser.add_argument("--silent", type=int, default=2, metavar="N", help="clips asked for silence (default: 2)")
    parser.add_argument(
        "--ear", metavar="NAME|FILE", help="some systems once more, by it: a converted Whisper, or none"
    )
    parser.add_argument(
        "--weights", nargs="+", default=[], metavar="FILE", help="instruments, as `evaluate` takes them"
    )
    args = parser.parse_args()
    if not (args.data or args.films):
        parser.error("nothing to measure on: give --data, --films or both")
    names = [*args.system, *(name + EAR for name in HEARS if args.ear and name in args.system)]
    sets = {f"{folder.parent.name}/{folder.name}": films_in(folder, args.clips) for folder in args.data}
    if args.films:
        sets["real films"] = films_in(args.films, None)
    results: dict[str, dict[str, Any]] = {}
    for title, films in sets.items():
        real: dict[str, Footage] = {}
        for name in tqdm(names, desc=title):
            folder = args.out / name.replace(" ", "_") / title.replace("/", "_").replace(" ", "_")
            if not (folder / "scores.json").is_file():
                run = generate(name, films, args, folder)
                write_json(folder / "scores.json", run | {"clips": measured(films, args, folder, real)})
            scores = json.loads((folder / "scores.json").read_text())
            results.setdefault(name, {})[title] = comparable(scores, name.removesuffix(EAR))
    about = f"{args.clips} clips of each set, {args.seconds:g} s of each; {machine()}"
    text = "\n".join([markdown(results, list(sets)), about, ""])
    write_json(args.out / "all_systems.json", {"about": about, "results": results})
    with whole_file(args.out / "all_systems.md") as part:
        part.write_text(text, encoding="utf-8")
    print(text)


def films_in(folder: Path, most: int | None) -> list[Film]:
    """Films of a folder, evenly chosen."""
    paths = files_in(folder, *SUFFIXES)
    if most is not None:
        paths = [paths[round(k)] for k in np.linspace(0, len(paths) - 1, min(most, len(paths)))]
    beside = [path.with_suffix(".flac") for path in paths]
    return [
        Film(path.stem, path, sound if sound.is_file() else path) for path, sound in zip(paths, beside, strict=True)
    ]


def generate(name: str, films: Sequence[Film], args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Have a system make its films in a process of its own; returns their frames, seconds and the peak of memory."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(str(film.path), str(film.sound), args.seconds, str(folder / f"{film.name}.mp4")) for film in films]
    hushed = [] if name in NEEDS_SPEECH else films[: args.silent]
    jobs += [(str(film.path), None, args.seconds, str(folder / f"{film.name}.silent.mp4")) for film in hushed]
    list_of_jobs = folder / "jobs.jsonl"
    list_of_jobs.write_text("".join(json.dumps(job) + "\n" for job in jobs))
    command = [sys.executable, "-m", "benchmarks.all_systems_run", name.removesuffix(EAR), str(list_of_jobs)]
    command += ["--ear", str(args.ear)] if name.endswith(EAR) else []
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(made.stdout.splitlines()[-1])


def measured(
    films: Sequence[Film], args: argparse.Namespace, folder: Path, real: dict[str, Footage]
) -> dict[str, dict[str, float]]:
    """Values of the metrics by clip; `real` keeps the real clips as they were read."""
    kit, detector = with_files(bundled_kit(), weights=args.weights), load_bundled()
    metrics = chosen([*METRICS, *BROUGHT])
    values = {}
    for film in films:
        if film.name not in real:
            real[film.name] = read_footage_of(film.path, detector, args.seconds)
        silent = folder / f"{film.name}.silent.mp4"
        files = ClipFiles(film.name, folder / f"{film.name}.mp4", film.path)
        hushed = silent if silent.is_file() else None
        pair = read_pair(files, detector, kit.gate, args.seconds, hushed, real=real[film.name])
        scores = score(pair, kit, metrics, sets=())
        values[film.name] = {
            key: value / scores.real[key] if key in BY_REAL else value for key, value in scores.values.items()
        }
    return values


def comparable(scores: dict[str, Any], system: str) -> dict[str, Any]:
    """The scores of a system's clips without what compares the person, where it shows another one."""
    if system not in OTHER_PEOPLE:
        return scores
    clips = {
        name: {key: value for key, value in clip.items() if key not in OF_THE_PERSON}
        for name, clip in scores["clips"].items()
    }
    return scores | {"clips": clips}


def markdown(results: Mapping[str, Mapping[str, Any]], sets: Sequence[str]) -> str:
    """A table for each set, the systems one below the other."""
    lines = []
    for title in sets:
        clips = [clip for by_set in results.values() for clip in by_set[title]["clips"].values()]
        columns = METRICS | {key: word for key, word in BROUGHT.items() if any(key in clip for clip in clips)}
        lines += [
            f"### {title}",
            "",
            "| system | " + " | ".join(columns.values()) + " | frames a processor second | peak MB |",
        ]
        lines += ["|---" + "|---:" * (len(columns) + 2) + "|"]
        for name, by_set in results.items():
            run = by_set[title]
            cells = [mean_of(run["clips"], key) for key in columns]
            cells += [f"{run['frames'] / run['seconds']:.1f}", f"{run['peak_rss_mb']:.0f}"]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def mean_of(clips: Mapping[str, Mapping[str, float]], key: str) -> str:
    """The mean over the clips that have a value, empty for none."""
    values = [v for clip in clips.values() if (v := clip.get(key)) is not None and math.isfinite(v)]
    return number(float(np.mean(values))) if values else ""


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all; NaN is null."""
    finite = json.loads(json.dumps(content), parse_constant=lambda _: None)
    with whole_file(path) as part:
        part.write_text(json.dumps(finite, indent=2, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_program(main)
