"""`animate`: a picture of a face that says what a sound file says, head and eyes moving."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..kept import kept
from .animation import add_motion_flags, check_motion, read_animation, write_animation
from .common import add_common
from .dub import read_choice

if TYPE_CHECKING:
    from torch import Tensor

    from ..faces.choose import FaceChoice
    from ..media.audio import AudioSource


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("animate", help="a picture that talks", description=__doc__)
    parser.add_argument("picture", metavar="PICTURE", help="a photo or painting with a face: png, jpg, webp, tiff")
    parser.add_argument("audio", metavar="AUDIO", help="the speech: a sound file, or a video with sound")
    parser.add_argument("-o", "--output", metavar="OUT.mp4", required=True, help="the video to write")
    parser.add_argument(
        "--face",
        default="largest",
        metavar="WHICH",
        help="largest, leftmost, a number from the left, or x,y in pixels (default: largest)",
    )
    parser.add_argument("--detector", default="auto", metavar="NAME", help="auto, bundled or face-alignment")
    add_motion_flags(parser)
    add_common(parser)
    parser.set_defaults(run=run, check=check)


def check(args: argparse.Namespace) -> tuple[Path, Tensor, AudioSource, FaceChoice]:
    """The output, the picture, the sound and whose face. Raises InputError for what is wrong with arguments and files;
    loads no model."""
    import torch

    from ..faces.detect import pick_detector
    from ..media.audio import open_audio
    from ..media.picture import read_picture
    from ..media.video_writer import check_output

    output = check_output(args.output, [path for path in (args.picture, args.audio, args.pose) if path])
    choice = read_choice(args.face)
    check_motion(args)
    pick_detector(args.detector)
    picture = torch.from_numpy(read_picture(args.picture))
    return output, picture, open_audio(args.audio, args.start, args.duration), choice


def run(args: argparse.Namespace) -> int:
    """Write the video. All that can be wrong with the arguments is told before the work begins."""
    began = time.perf_counter()
    from ..faces.detect import find_detector
    from ..see_the_speaker.model import BUNDLED, load_see_the_speaker
    from ..see_the_speaker.pipeline import find_face

    output, picture, source, choice = check(args)
    model = kept(load_see_the_speaker, args.model or BUNDLED, args.device, motion=args.motion, ear=args.ear)
    animation = read_animation(args, model)
    try:
        landmarks = find_face(picture, kept(find_detector, args.detector, model.device), choice)
    except InputError as error:
        raise InputError(f"{args.picture}: {error}") from error
    loaded = time.perf_counter() - began
    return write_animation(args, model, animation, picture, landmarks, source, output, began, loaded)
