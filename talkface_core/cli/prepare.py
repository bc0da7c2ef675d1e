"""`prepare`: videos of any kind to a data set of short, square, described clips that every recipe reads."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..kept import kept
from .common import add_common, peak_rss_mb, report

if TYPE_CHECKING:
    from ..faces.choose import FaceChoice
    from ..preparation.rules import Rules
    from ..preparation.source_video import SourceVideo
    from ..preparation.speech import SpeechFinder

_MOST_WORKERS = 64


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("prepare", help="videos to a data set for training", description=__doc__)
    parser.add_argument("videos", metavar="VIDEO", nargs="+", help="video files, or folders of them")
    parser.add_argument("-o", "--output", metavar="DATASET", required=True, help="folder to make or to add to")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of the square frames (256)")
    parser.add_argument(
        "--crop",
        choices=("head", "aligned"),
        default="head",
        help="head: one fixed square a clip, in which the head moves, as all recipes want it (default); "
        "aligned: eyes and nose stay in place",
    )
    parser.add_argument("--max-seconds", type=float, default=8.0, metavar="S", help="longest clip (8)")
    parser.add_argument("--min-seconds", type=float, default=2.0, metavar="S", help="shortest clip (2)")
    parser.add_argument("--min-face", type=float, default=64.0, metavar="PX", help="brows to chin in the video (64)")
    parser.add_argument("--max-yaw", type=float, default=45.0, metavar="DEG", help="further turned is dropped (45)")
    parser.add_argument(
        "--face", default="largest", metavar="WHICH", help="largest, leftmost, or 0, 1, … from the left"
    )
    parser.add_argument("--val", type=float, default=0.0, metavar="SHARE", help="for validation, 0 to 1 (default: 0)")
    parser.add_argument(
        "--split",
        choices=("auto", "film", "time"),
        default="auto",
        help="what goes to validation: whole films, or the end of each (default: films if there are enough)",
    )
    parser.add_argument("--detector", choices=("auto", "bundled", "face-alignment"), default="auto", help="auto")
    parser.add_argument("--workers", type=int, metavar="N", help="videos at a time (default: as the device suits)")
    add_common(parser)
    parser.set_defaults(run=run, check=check)


def check(args: argparse.Namespace) -> tuple[Rules, FaceChoice, list[SourceVideo]]:
    """What is taken, whose face, the films. Raises InputError for what is wrong with arguments; loads no model."""
    from ..faces.detect import pick_detector
    from ..preparation.dataset import check_place
    from ..preparation.rules import Rules
    from ..preparation.source_video import find_videos

    if args.workers is not None and not 1 <= args.workers <= _MOST_WORKERS:
        raise InputError(f"--workers {args.workers}: give 1 to {_MOST_WORKERS}")
    check_place(args.output, args.val, args.split)
    pick_detector(args.detector)
    rules = Rules(args.size, args.crop, args.min_seconds, args.max_seconds, args.min_face, args.max_yaw)
    return rules, _choice(args.face), find_videos(args.videos)


def run(args: argparse.Namespace) -> int:
    """Prepare the data set, or what is missing of it."""
    began = time.perf_counter()
    from ..device import pick_device
    from ..faces.detect import find_detector
    from ..parallel import pick_workers
    from ..preparation.cut import Tools
    from ..preparation.dataset import prepare
    from ..preparation.quality import find_sync

    rules, choice, films = check(args)
    device = pick_device(args.device)
    tools = Tools(kept(find_detector, args.detector, device), choice, kept(_speech), kept(find_sync, device))
    workers = args.workers or pick_workers(device)
    summary = prepare(films, args.output, rules, tools, args.val, args.split, workers, args.quiet)
    tell(args, summary, Path(args.output), tools.detector.name, began)
    return 0


def tell(args: argparse.Namespace, summary: Mapping[str, Any], folder: Path, detector: str, began: float) -> None:
    """Say what became of the films."""
    from ..preparation.dataset import REPORT
    from ..preparation.table import table

    result = {
        "output": str(folder),
        "report": str(folder / REPORT),
        "contact_sheets": [str(folder / name) for name in summary["contact_sheets"]],
        "clips": summary["clips"],
        "seconds_video": round(summary["seconds"], 2),
        "seconds_taken": {split: round(seconds, 2) for split, seconds in summary["taken"].items()},
        "seconds_dropped": {reason: round(seconds, 2) for reason, seconds in summary["dropped"].items()},
        "skipped": {film["film"]: film["problem"] for film in summary["films"] if "problem" in film},
        "detector": detector,
        "seconds_wall": round(time.perf_counter() - began, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
    report(args, result, f"{table(summary)}\n{folder}: look at {', '.join(summary['contact_sheets'])}")


def _choice(face: str) -> FaceChoice:
    from ..faces.choose import FaceChoice

    if face in ("largest", "leftmost"):
        return FaceChoice(face)
    if re.fullmatch(r"\d{1,9}", face):
        return FaceChoice("index", int(face))
    raise InputError(f"--face {face[:40]}: give largest, leftmost, or a number from the left (0, 1, …)")


def _speech() -> SpeechFinder:
    """The voice activity gate of the bundled DAE-Talker; without it, what rises above the noise."""
    from ..checkpoints import CheckpointError, find_checkpoint, read_checkpoint
    from ..components import build
    from ..dae_talker.model import BUNDLED
    from ..preparation.speech import rising
    from ..speech.vad import GATE

    try:
        gate = build(read_checkpoint(find_checkpoint(BUNDLED)), GATE)
    except CheckpointError:
        return rising
    return lambda mel: gate(mel[None])[0] > 0  # logits
