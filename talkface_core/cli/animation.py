"""What `animate` and `imagine` share: the flags of a face's motion, the writing of its video and the report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import EAR_HELP, check_models, peak_rss_mb, report, seed_number
from .pose import read_pose

if TYPE_CHECKING:
    from torch import Tensor

    from ..media.audio import AudioSource
    from ..see_the_speaker.model import SeeTheSpeaker
    from ..see_the_speaker.pipeline import Animation
    from ..see_the_speaker.style import MotionStyle


def add_motion_flags(parser: argparse.ArgumentParser) -> None:
    """How the face moves and how it is drawn."""
    parser.add_argument("--model", metavar="NAME|FILE", help="a bundled model or a checkpoint (default: bundled)")
    parser.add_argument("--motion", metavar="NAME|FILE", help="take the motion of this checkpoint (default: --model's)")
    parser.add_argument("--ear", metavar="NAME|FILE", help=EAR_HELP)
    group = parser.add_argument_group("of the motion")
    group.add_argument("--head", type=float, default=1.0, metavar="N", help="how far the head moves (1)")
    group.add_argument("--expression", type=float, default=1.0, metavar="N", help="how strong face and mouth move (1)")
    group.add_argument("--blink", type=float, default=1.0, metavar="N", help="how far lids close, 0 never (1)")
    group.add_argument("--blink-rate", type=float, metavar="N", help="blinks a minute (default: as predicted)")
    group.add_argument(
        "--gaze", default="0,0", metavar="RIGHT,DOWN", help="where the eyes look, -1 to 1 each (default: 0,0)"
    )
    group.add_argument("--pose", metavar="YAW,PITCH,ROLL|FILE", help="head pose in degrees, or a file of keyframes")
    group.add_argument("--guidance", type=float, metavar="N", help="how much the voice counts (default: the model's)")
    group.add_argument("--steps", type=int, metavar="N", help="evaluations for a window of motion (the model's)")
    group.add_argument("--seed", type=seed_number, default=0, metavar="N", help="of all that is drawn by lot (0)")
    group = parser.add_argument_group("of the pictures")
    group.add_argument("--fps", metavar="F", help="frames a second, such as 25 or 30000/1001 (default: 25)")
    group.add_argument(
        "--fidelity", type=float, metavar="0..1", help="of the codebook: 0 codes alone, 1 as painted (the model's)"
    )
    group.add_argument("--crop", action="store_true", help="the head's square alone, not the whole picture")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where in the sound to begin")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="how much of the sound (default: all)")


def check_motion(args: argparse.Namespace) -> MotionStyle:
    """The style that the flags ask for. Raises InputError for what is wrong with them; loads no model."""
    from ..media.timebase import FPS, as_rate
    from ..see_the_speaker.model import BUNDLED, SYSTEM
    from ..see_the_speaker.pipeline import output_rate
    from ..see_the_speaker.style import MotionStyle

    output_rate(args.fps)
    check_models(args, SYSTEM, BUNDLED)
    if args.fidelity is not None and not 0 <= args.fidelity <= 1:
        raise InputError(f"--fidelity {args.fidelity}: give 0 (codes alone) to 1 (as painted)")
    gaze = _pair(args.gaze)
    pose = None if args.pose is None else read_pose(args.pose, as_rate(FPS))
    return MotionStyle(args.head, args.expression, args.blink, args.blink_rate, gaze, pose=pose, seed=args.seed)


def read_animation(args: argparse.Namespace, model: SeeTheSpeaker) -> Animation:
    """What the flags say. Raises InputError, also for what this model cannot do."""
    from dataclasses import replace

    from ..see_the_speaker.pipeline import Animation

    style = check_motion(args)
    asked = {name: getattr(args, name) for name in ("guidance", "steps") if getattr(args, name) is not None}
    sampling = replace(model.motion.diffusion.config.sampling, **asked)
    if args.fidelity is not None and model.renderer.codebook is None:
        raise InputError(f"--fidelity {args.fidelity}: {model.path.name} has no codebook; leave it out")
    return Animation(style, sampling, args.seed, args.fidelity, whole=not args.crop)


def write_animation(
    args: argparse.Namespace,
    model: SeeTheSpeaker,
    animation: Animation,
    picture: Tensor,
    landmarks: Tensor,
    source: AudioSource,
    output: Path,
    began: float,
    loaded: float,
    metadata: Mapping[str, str] | None = None,
    **more: Any,
) -> int:
    """Write the video and say what was made, with `more` besides."""
    from tqdm import tqdm

    from ..media.timebase import frame_count
    from ..see_the_speaker.pipeline import animate_to_file, output_rate

    rate = output_rate(args.fps)
    total = frame_count(source.num_samples(), source.sample_rate, rate)
    shown: list[float] = []  # when frames had been written

    def told(frames: int) -> None:
        shown.append(time.perf_counter())
        bar.update(frames)

    with tqdm(total=total, unit="frame", desc=output.name, disable=args.quiet) as bar:
        made = animate_to_file(
            model.motion, model.renderer, picture, landmarks, source, output, rate, animation, told, metadata
        )
    result = {
        "output": str(output),
        "frames": made.frames,
        "fps": float(made.fps),
        "seconds_audio": round(made.seconds_audio, 6),
        "seconds_wall": round(time.perf_counter() - began, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "seconds_load": round(loaded, 3),
        "seconds_first_frame": round(shown[0] - began - loaded, 3),
        **{f"seconds_{part}": round(seconds, 3) for part, seconds in made.seconds.items()},
        **more,
        "model": model.path.stem,
        "device": model.device.type,
        "dtype": str(model.dtype).removeprefix("torch."),
        "seed": args.seed,
    }
    working = sum(made.seconds.values())
    speed = f"{made.frames} frames in {working:.1f} s ({made.frames / working:.1f} a second)"
    report(args, result, f"{output}: {speed}")
    return 0


def _pair(text: str) -> tuple[float, float]:
    from ..faces.head_pose import numbers_in

    numbers: Sequence[float] | None = numbers_in(text)
    if numbers is None or len(numbers) != 2:
        raise InputError(f"--gaze {text!r}: give two numbers, to the right and down, such as 0.5,0")
    return numbers[0], numbers[1]
