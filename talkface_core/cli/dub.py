"""`dub`: lip-syncs the face of an existing video to another sound."""

from __future__ import annotations

import argparse
import logging
import math
import re
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..kept import kept
from .common import add_common, peak_rss_mb, report
from .dub_systems import add_own_flags, check_mouths, load_mouths

if TYPE_CHECKING:
    from fractions import Fraction

    from ..dubbing.pipeline import DubRequest
    from ..faces.choose import FaceChoice
    from ..media.playback import FrameSource

log = logging.getLogger(__name__)


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("dub", help="new speech for an existing video", description=__doc__)
    parser.add_argument(
        "video", metavar="VIDEO", help="footage of a face, any size and rate; both are kept; or a photo"
    )
    parser.add_argument("audio", metavar="AUDIO", help="the new speech: a sound file, or a video with sound")
    parser.add_argument("-o", "--output", metavar="OUT.mp4", required=True, help="the video to write")
    parser.add_argument("--model", metavar="NAME|FILE", help="a bundled model or a checkpoint (default: bundled)")
    parser.add_argument(
        "--face",
        default="largest",
        metavar="WHICH",
        help="largest, leftmost, a number from the left, or x,y in pixels (default: largest)",
    )
    parser.add_argument(
        "--length",
        default="bounce",
        metavar="RULE",
        help="bounce: as long as the sound, the video played to and fro; stop: until either ends; once: the whole "
        "video (default: bounce)",
    )
    parser.add_argument("--smoothing", type=float, metavar="N", help="of the face's track, 0 none (default: 0.3)")
    parser.add_argument("--detector", default="auto", metavar="NAME", help="auto, bundled or face-alignment")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where in the sound to begin")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="how much of the sound (default: all)")
    add_own_flags(parser)
    add_common(parser)
    parser.set_defaults(run=run, check=check)


def check(args: argparse.Namespace) -> tuple[Path, DubRequest]:
    """The output and what is asked for, yet without a detector. Raises InputError for what is wrong with arguments and
    files; loads no model."""
    from ..dubbing.pipeline import DubRequest
    from ..faces.detect import pick_detector
    from ..faces.tracking import SMOOTHING
    from ..media.audio import open_audio
    from ..media.picture import open_film
    from ..media.video_writer import check_output

    output = check_output(args.output, [args.video, args.audio])
    choice = read_choice(args.face)
    smoothing = SMOOTHING if args.smoothing is None else args.smoothing
    if not 0 <= smoothing < math.inf:
        raise InputError(f"--smoothing {smoothing}: give 0 (none) or more; 1 is strong")
    film = open_film(args.video)
    source = open_audio(args.audio, args.start, args.duration, origin=own_origin(film, args.audio))
    check_mouths(args)
    pick_detector(args.detector)
    return output, DubRequest(film, source, choice=choice, smoothing=smoothing, length=args.length)


def run(args: argparse.Namespace) -> int:
    """Write the video. All that can be wrong with the arguments is told before the work begins."""
    began = time.perf_counter()
    from tqdm import tqdm

    from ..dubbing.pipeline import TRACKING, dub_to_file
    from ..faces.detect import find_detector

    output, request = check(args)
    declared, needed = request.film.num_frames, request.needed
    looked = min((count for count in (declared, needed) if count is not None), default=None)
    model = load_mouths(args)
    request = replace(request, detector=kept(find_detector, args.detector, model.device))
    loaded = time.perf_counter() - began
    with ExitStack() as stack:
        bars: dict[str, tqdm] = {}

        def progress(step: str, done: int, total: int | None, _: object) -> None:
            if step not in bars:
                stack.close()
                name = f"face in {Path(args.video).name}" if step == TRACKING else output.name
                total = looked if step == TRACKING else total
                bars[step] = stack.enter_context(tqdm(total=total, unit="frame", desc=name, disable=args.quiet))
            bars[step].update(done - bars[step].n)

        summary = dub_to_file(model.mouths, request, output, progress)
    if declared is not None and looked is not None and summary.tracked < looked:
        log.warning("%s says that it has %d frames, %d could be read", Path(args.video).name, declared, summary.tracked)
    result = {
        "output": str(output),
        "frames": summary.frames,
        "fps": float(summary.fps),
        "seconds_audio": round(summary.seconds_audio, 6),
        "seconds_wall": round(time.perf_counter() - began, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "seconds_load": round(loaded, 3),
        **{f"seconds_{part}": round(seconds, 3) for part, seconds in summary.seconds.items()},
        "frames_left_alone": summary.left_alone,
        "texture": summary.settings.get("texture"),
        "model": model.path.stem,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    working = sum(summary.seconds.values())
    speed = f"{summary.frames} frames in {working:.1f} s ({summary.frames / working:.1f} a second)"
    report(args, result, f"{output}: {speed}")
    return 0


def own_origin(film: FrameSource, audio: str) -> Fraction | None:
    """Where a sound file's clock is to begin: with the first frame, where the film itself is given as the sound."""
    from ..media.playback import VideoFrameSource

    own = isinstance(film, VideoFrameSource) and Path(audio).exists() and film.reader.path.samefile(audio)
    return film.reader.start if own else None


def read_choice(text: str) -> FaceChoice:
    """What `--face` says. Raises InputError."""
    from ..faces.choose import FaceChoice

    if text in ("largest", "leftmost"):
        return FaceChoice(text)
    if re.fullmatch(r"\d{1,9}", text):
        return FaceChoice("index", int(text))
    if match := re.fullmatch(r"(\d{1,9}(?:\.\d*)?),(\d{1,9}(?:\.\d*)?)", text):
        return FaceChoice("point", point=(float(match[1]), float(match[2])))
    raise InputError(
        f"--face {text[:40]!r}: give largest, leftmost, a number from the left such as 0, or x,y in pixels"
    )
