"""Jobs over folders, in parts: one for each film of `prepare`, for each pair of `evaluate`, and one that joins them."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from ..batch.job import Job
from ..batch.record import FOLDER, Records
from ..errors import InputError
from . import evaluate, prepare

_SILENT = ("system", "model", "silent_seconds")


def parted(job: Job, args: argparse.Namespace) -> list[Job]:
    """The parts of a job, whose arguments have been checked, then the job that joins them; the job alone where it is of
    one film."""
    if job.words[0] == "prepare":
        parts = _films(job, args)
    elif job.words[0] == "evaluate":
        parts = _pairs(job, args)
    else:
        return [job]
    if len(parts) < 2:
        return [job]
    return [*parts, replace(job, parts=tuple(part.output for part in parts))]


def prepare_part(args: argparse.Namespace, made: Path) -> None:
    """A data set of one film. A film without a clip is no failure of the whole set: its report says why."""
    from ..preparation.dataset import REPORT

    try:
        args.run(args)
    except InputError:
        if not (made / REPORT).is_file():
            raise


def evaluate_part(args: argparse.Namespace, target: Path) -> None:
    """The scores of one pair, as a file."""
    from ..evaluation.scores_file import write_scores

    _, metrics, pairs, _ = evaluate.check(args)
    (clip,) = evaluate.score_clips(args, pairs, metrics)
    write_scores(target, clip)


def join(job: Job, args: argparse.Namespace, records: Records, made: Path) -> None:
    """Make of the parts what the command makes of all, and print what it prints."""
    began, parts = time.perf_counter(), [records.out / name for name in job.parts]
    if job.words[0] == "prepare":
        from ..preparation.dataset import read_settings
        from ..preparation.joined import join_sets

        summary = join_sets(parts, made, args.val, args.split, records.target(job))
        prepare.tell(args, summary, made, str(read_settings(made)["detector"]), began)
        return
    from ..evaluation.scores_file import read_scores

    page, metrics, _, alone = evaluate.check(args)
    clips = [read_scores(part) for part in parts]
    evaluate.tell(args, evaluate.evaluation_of(args, clips, metrics), alone, page, began)


def _films(job: Job, args: argparse.Namespace) -> list[Job]:
    from ..preparation.dataset import by_film
    from ..preparation.source_video import find_videos

    films = find_videos(args.videos)
    share = 0.0 if by_film(len(films), args.val, args.split) else args.val
    options = job.words[1 + len(args.videos) :]
    return [
        _part(
            job, film.name, ("prepare", str(film.path), *options, "--val", repr(share), "--split", "time"), (film.path,)
        )
        for film in films
    ]


def _pairs(job: Job, args: argparse.Namespace) -> list[Job]:
    from ..evaluation.clip_files import pair_files

    pairs, parts = pair_files(args.generated, args.reference)[0], []
    for number, pair in enumerate(pairs):
        given = {name: getattr(args, name) for name in ("metrics", "seconds", "detector", "evaluator")}
        if args.system is not None and number < args.silent:
            given |= {name: getattr(args, name) for name in _SILENT} | {"silent": 1}
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items() if value is not None]
        # Last, since it takes what follows.
        flags += ["--weights", *args.weights] if args.weights else []
        words = ("evaluate", str(pair.generated), f"--reference={pair.real}", *flags)
        parts.append(_part(job, f"{number}.npz", words, (pair.generated, pair.real, pair.real.with_suffix(".npz"))))
    return parts


def _part(job: Job, name: str, words: tuple[str, ...], inputs: tuple[Path, ...]) -> Job:
    files = tuple(map(str, inputs))
    output = f"{FOLDER}/{job.id}/{name}"
    return Job(job.line, words, output, (), files, job.kind, job.place, job.needs, is_part=True)
