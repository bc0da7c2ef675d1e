"""`dub`: an existing video whose face says what another sound says."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import add_common, peak_rss_mb, report

if TYPE_CHECKING:
    from ..faces.choose import FaceChoice

SYSTEMS = ("ladtalk",)


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("dub", help="new speech for an existing video", description=__doc__)
    parser.add_argument("video", metavar="VIDEO", help="footage of a face, any size and rate; both are kept")
    parser.add_argument("audio", metavar="AUDIO", help="the new speech: a sound file, or a video with sound")
    parser.add_argument("-o", "--output", metavar="OUT.mp4", required=True, help="the video to write")
    parser.add_argument("--system", choices=SYSTEMS, default=SYSTEMS[0], help="who does it (default: ladtalk)")
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
    parser.add_argument(
        "--texture", type=float, metavar="0..1", help="how far texture is restored (default: to the video's sharpness)"
    )
    parser.add_argument("--smoothing", type=float, metavar="N", help="of the face's track, 0 none (default: 0.3)")
    parser.add_argument("--detector", default="auto", metavar="NAME", help="auto, bundled or face-alignment")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where in the sound to begin")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="how much of the sound (default: all)")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the video. All that can be wrong with the arguments is told before the work begins."""
    began = time.perf_counter()
    from tqdm import tqdm

    from ..faces.detect import find_detector
    from ..faces.tracking import SMOOTHING
    from ..ladtalk.model import BUNDLED, load_ladtalk
    from ..ladtalk.pipeline import Painter, dub_to_file
    from ..media.audio import open_audio
    from ..media.playback import FilmFile, frame_order
    from ..media.timebase import frame_count
    from ..media.video import VideoReader, check_output

    output = check_output(args.output, [args.video, args.audio])
    choice = read_choice(args.face)
    source = open_audio(args.audio, args.start, args.duration)
    film = FilmFile(VideoReader(args.video))
    sounding = frame_count(source.num_samples(), source.sample_rate, film.fps)
    frame_order(1, 0, args.length)
    model = load_ladtalk(args.model or BUNDLED, args.device)
    painter = Painter(model.lips, model.sovqae, args.texture)
    detector = find_detector(args.detector, model.device)
    smoothing = SMOOTHING if args.smoothing is None else args.smoothing
    loaded = time.perf_counter() - began
    with tqdm(total=sounding, unit="frame", desc=output.name, disable=args.quiet) as bar:
        made = dub_to_file(painter, film, source, output, detector, choice, args.length, smoothing, bar.update)
    result = {
        "output": str(output),
        "frames": made.frames,
        "fps": float(made.fps),
        "seconds_audio": round(made.seconds_audio, 6),
        "seconds_wall": round(time.perf_counter() - began, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "seconds_load": round(loaded, 3),
        **{f"seconds_{part}": round(seconds, 3) for part, seconds in made.seconds.items()},
        "frames_left_alone": made.left_alone,
        "texture": made.strength,
        "model": model.path.stem,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    working = sum(made.seconds.values())
    speed = f"{made.frames} frames in {working:.1f} s ({made.frames / working:.1f} a second)"
    report(args, result, f"{output}: {speed}")
    return 0


def read_choice(text: str) -> FaceChoice:
    """What `--face` says. Raises InputError."""
    from ..faces.choose import FaceChoice

    if text in ("largest", "leftmost"):
        return FaceChoice(text)
    if re.fullmatch(r"\d+", text):
        return FaceChoice("index", int(text))
    if found := re.fullmatch(r"(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)", text):
        return FaceChoice("point", point=(float(found[1]), float(found[2])))
    raise InputError(f"--face {text!r}: give largest, leftmost, a number from the left such as 0, or x,y in pixels")
