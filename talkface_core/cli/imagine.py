"""`imagine`: a voice alone becomes a talking person: a guessed portrait that says what the sound file says.

A guess at how somebody of this sex and age group might look; it identifies nobody and is nobody.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..kept import kept
from .animation import add_motion_flags, check_motion, read_animation, write_animation
from .common import add_common

if TYPE_CHECKING:
    from ..media.audio import AudioSource
    from ..see_the_speaker.imagining import Imagining


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("imagine", help="a talking person from a voice alone", description=__doc__)
    parser.add_argument("audio", metavar="AUDIO", help="speech of one person: a sound file, or a video with sound")
    parser.add_argument("-o", "--output", metavar="OUT.mp4", required=True, help="the video to write")
    parser.add_argument("--portrait", metavar="OUT.png", help="write the guessed portrait too")
    group = parser.add_argument_group("of the portrait")
    group.add_argument(
        "--prior", default="adaptive", metavar="WHICH", help="the mean face: adaptive, none, or its weight 0 to 1"
    )
    group.add_argument("--portrait-guidance", type=float, metavar="N", help="how much the voice counts (2)")
    group.add_argument("--portrait-steps", type=int, metavar="N", help="network evaluations for the portrait (25)")
    add_motion_flags(parser)
    add_common(parser)
    parser.set_defaults(run=run, check=check)


def check(args: argparse.Namespace) -> tuple[Path, Path | None, AudioSource, Imagining]:
    """The video, the portrait, the sound and how the portrait is guessed. Raises InputError for what is wrong with
    arguments and files; loads no model."""
    from ..media.audio import open_audio
    from ..media.video_writer import check_output
    from ..see_the_speaker.imagining import Imagining

    inputs = [path for path in (args.audio, args.pose) if path]
    output = check_output(args.output, inputs)
    target = None if args.portrait is None else check_output(args.portrait, [*inputs, args.output], ".png")
    asked = {"guidance": args.portrait_guidance, "steps": args.portrait_steps}
    how = Imagining(*_prior(args.prior), seed=args.seed, **{k: v for k, v in asked.items() if v is not None})
    check_motion(args)
    return output, target, open_audio(args.audio, args.start, args.duration), how


def run(args: argparse.Namespace) -> int:
    """Write the video. All that can be wrong with the arguments is told before the work begins."""
    began = time.perf_counter()
    from ..faces.detect import find_detector
    from ..media.picture_writer import write_picture
    from ..pixels import to_bytes
    from ..see_the_speaker.imagining import GUESS, face_in, imagine
    from ..see_the_speaker.model import BUNDLED, load_see_the_speaker

    output, target, source, how = check(args)
    model = kept(load_see_the_speaker, args.model or BUNDLED, args.device, motion=args.motion, ear=args.ear)
    if model.portrait is None:
        raise InputError(f"{model.path.name} makes no portraits; give another --model, or a picture to `animate`")
    animation = read_animation(args, model)
    loaded = time.perf_counter() - began
    portrait = imagine(model.portrait, model.renderer, source, how)
    if target is not None:
        write_picture(target, to_bytes(portrait).numpy(), GUESS)
    landmarks = face_in(portrait, kept(find_detector, "bundled", model.device))
    seconds = round(time.perf_counter() - began - loaded, 3)
    return write_animation(
        args, model, animation, portrait, landmarks, source, output, began, loaded, GUESS, seconds_portrait=seconds
    )


def _prior(text: str) -> tuple[str, float]:
    """The arm of the face prior and its weight."""
    from ..see_the_speaker.prior import ARMS, BETA

    if text in ARMS and text != "fixed":
        return text, BETA
    try:
        return "fixed", float(text)
    except ValueError:
        raise InputError(f"--prior {text!r}: give adaptive, none, or a weight from 0 to 1") from None
