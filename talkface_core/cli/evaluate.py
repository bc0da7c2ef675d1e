"""`evaluate`: generated clips beside the real ones, metric by metric: a table, JSON, and a page to look at."""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..kept import kept
from .common import add_common, check_models, peak_rss_mb
from .silent_runs import SYSTEMS, hush

if TYPE_CHECKING:
    from ..evaluation.clip_files import ClipFiles
    from ..evaluation.evaluate import ClipScores, Evaluation
    from ..evaluation.registry import Metric

log = logging.getLogger(__name__)

SILENT, SILENT_SECONDS = 3, 4.0
"""Clips that are asked for silence, and seconds of each."""


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("evaluate", help="generated clips beside real ones", description=__doc__)
    parser.add_argument("generated", metavar="GENERATED", help="a video, or a folder of them")
    parser.add_argument(
        "--reference", metavar="REAL", required=True, help="the real video, or the folder of those of the same names"
    )
    parser.add_argument("--html", metavar="PAGE.html", help="write a page to look at: one file, no other is needed")
    parser.add_argument("--metrics", metavar="KEY,…", help="these metrics or groups alone (default: all)")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each clip at most (default: all)")
    parser.add_argument(
        "--detector", default="bundled", metavar="NAME", help="auto, bundled or face-alignment (bundled)"
    )
    group = parser.add_argument_group("the run with silence")
    group.add_argument("--system", choices=SYSTEMS, help="what made the clips: it is asked what it does with silence")
    group.add_argument("--model", metavar="NAME|FILE", help="a checkpoint of --system (default: the bundled one)")
    group.add_argument("--silent", type=int, metavar="N", help="over the first N clips (default: 3)")
    group.add_argument("--silent-seconds", type=float, metavar="S", help="of each at most (default: 4)")
    group = parser.add_argument_group("instruments whose weights are not bundled")
    group.add_argument("--evaluator", metavar="FILE", help="the published SyncNet, converted by `models --convert`")
    group.add_argument(
        "--weights",
        nargs="+",
        metavar="FILE",
        help="public weights as they come: SFace (likeness), VGG-16, AlexNet (LPIPS), InceptionV3 (FID), I3D (FVD); "
        "models lists them",
    )
    add_common(parser)
    parser.set_defaults(run=run, check=check)


def check(args: argparse.Namespace) -> tuple[Path | None, Mapping[str, Metric], list[ClipFiles], list[str]]:
    """The page, the metrics, the pairs of films and those without a partner. Raises InputError for what is wrong with
    arguments; loads no model."""
    from ..evaluation.catalogue import chosen
    from ..evaluation.clip_files import pair_files
    from ..evaluation.weights import all_recognised
    from ..faces.detect import pick_detector

    page = None if args.html is None else _page(args.html)
    metrics = chosen(_words(args))
    if args.system is None:
        for flag in ("model", "silent", "silent_seconds"):
            if (value := getattr(args, flag)) is not None:
                flag = flag.replace("_", "-")
                raise InputError(f"--{flag} {value} belongs to the run with silence; give --system too")
    args.silent = SILENT if args.silent is None else args.silent
    args.silent_seconds = SILENT_SECONDS if args.silent_seconds is None else args.silent_seconds
    if args.silent < 1:
        raise InputError(f"--silent {args.silent}: give 1 or more, or leave --system out")
    for flag in ("seconds", "silent_seconds"):
        value = getattr(args, flag)
        if value is not None and not 0.2 <= value <= 86400:
            raise InputError(f"--{flag.replace('_', '-')} {value}: give 0.2 or more")
    check_models(args)
    all_recognised(args.weights or ())
    pick_detector(args.detector)
    return page, metrics, *pair_files(args.generated, args.reference)


def run(args: argparse.Namespace) -> int:
    """Measure, print, and write the page. All that can be wrong with the arguments is told before the work begins."""
    began = time.perf_counter()
    page, metrics, pairs, alone = check(args)
    if alone:
        log.warning("left out, since only one of the folders has them: %s", ", ".join(alone[:5]))
    tell(args, evaluation_of(args, score_clips(args, pairs, metrics), metrics), alone, page, began)
    return 0


def tell(
    args: argparse.Namespace, evaluation: Evaluation, alone: Sequence[str], page: Path | None, began: float
) -> None:
    """Print the table, and write the page."""
    report = evaluation.report()
    if not report.rows:
        why = "; ".join(f"{title}: {reason}" for title, reason in evaluation.left_out().items())
        raise InputError(f"nothing of what was asked for can be measured ({why})")
    if page is not None:
        from ..evaluation.page import write_page

        write_page(page, evaluation)
    if args.json:
        result = report.as_dict() | {
            "clips": [clip.name for clip in evaluation.clips],
            "without_partner": list(alone),
            "page": None if page is None else str(page),
            "seconds_wall": round(time.perf_counter() - began, 3),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }
        print(json.dumps(result))
    elif not args.quiet:
        print(report.text())
        if page is not None:
            print(f"\n{page}: written")


def score_clips(
    args: argparse.Namespace, pairs: Sequence[ClipFiles], metrics: Mapping[str, Metric]
) -> list[ClipScores]:
    """The scores of each pair."""
    from tqdm import tqdm

    from ..device import pick_device
    from ..evaluation.catalogue import chosen_sets
    from ..evaluation.clip_files import read_pair
    from ..evaluation.evaluate import score
    from ..evaluation.kit import bundled_kit, with_files
    from ..faces.detect import find_detector

    device = pick_device(args.device)
    kit = with_files(kept(bundled_kit, device), device, args.evaluator, args.weights or ())
    detector = kept(find_detector, args.detector, device)
    silent = None if args.system is None else hush(args.system, args.model, args.device)
    clips = []
    with (
        tqdm(total=len(pairs), unit="clip", disable=args.quiet) as bar,
        tempfile.TemporaryDirectory(prefix="talkface-silent-") as folder,
    ):
        for number, files in enumerate(pairs):
            bar.set_description(files.name)
            hushed = None
            if silent is not None and number < args.silent:
                hushed = Path(folder) / f"{number}.mp4"
                silent(files.real, min(args.silent_seconds, args.seconds or args.silent_seconds), hushed)
            pair = read_pair(files, detector, kit.gate, args.seconds, hushed)
            clips.append(score(pair, kit, metrics, bar.set_postfix_str, sets=chosen_sets(_words(args))))
            bar.update()
    return clips


def evaluation_of(args: argparse.Namespace, clips: Sequence[ClipScores], metrics: Mapping[str, Metric]) -> Evaluation:
    """All clips together, and what they are."""
    from ..evaluation.evaluate import Evaluation

    about = {
        "generated": Path(args.generated).name,
        "reference": Path(args.reference).name,
        "clips": len(clips),
        "frames": sum(clip.frames for clip in clips),
        "frames a second": 25,
        "silent run": "none" if args.system is None else f"{args.system}, {min(args.silent, len(clips))} clips",
    }
    return replace(Evaluation(tuple(clips), metrics), about=about)


def _words(args: argparse.Namespace) -> list[str] | None:
    return None if args.metrics is None else [word for word in args.metrics.split(",") if word]


def _page(name: str) -> Path:
    page = Path(name)
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {page}: the name of a page ends in .html")
    from ..media.video_writer import check_output

    return check_output(page, suffix=page.suffix.lower())
