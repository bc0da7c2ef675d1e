"""`speak`: a video of a face that says what a sound file says."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..kept import kept
from . import live
from .common import EAR_HELP, add_common, check_models, peak_rss_mb, report, seed_number

if TYPE_CHECKING:
    from ..media.audio import AudioSource


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("speak", help="speech to a talking-face video", description=__doc__)
    parser.add_argument("audio", metavar="AUDIO", help="speech: wav, flac, mp3, m4a, ogg, or a video with sound")
    parser.add_argument("-o", "--output", metavar="OUT.mp4", required=True, help="the video to write")
    parser.add_argument("--model", metavar="NAME|FILE", help="a bundled model or a checkpoint (default: bundled)")
    parser.add_argument("--ear", metavar="NAME|FILE", help=f"{EAR_HELP}; a live run: none")
    parser.add_argument("--pose", metavar="YAW,PITCH,ROLL|FILE", help="head pose in degrees, or a file of keyframes")
    parser.add_argument("--pose-strength", type=float, default=1.0, metavar="0..1", help="0 predicted, 1 as given")
    parser.add_argument("--expression", type=float, default=1.0, metavar="0..2", help="how far the mouth moves (1)")
    parser.add_argument("--no-idle", action="store_true", help="no blinks and no idle sway of the head")
    parser.add_argument("--steps", type=int, metavar="N", help="network evaluations a frame (default: the model's)")
    parser.add_argument("--sampler", metavar="NAME", help="ddim or dpmpp_2m (default: the model's)")
    parser.add_argument(
        "--seed", type=seed_number, default=0, metavar="N", help="of noise, blinks and sway (default: 0)"
    )
    parser.add_argument("--fps", metavar="F", help="frames a second, such as 25 or 30000/1001 (default: the model's)")
    parser.add_argument("--reference", metavar="IMAGE", help="picture to take the noise x_T from, by inversion")
    parser.add_argument(
        "--size", type=int, metavar="PX", help="side of the frames (default: the largest; live the smallest)"
    )
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where in the sound to begin")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="how much of the sound (default: all)")
    live.add_flags(parser)
    add_common(parser)
    parser.set_defaults(run=run, check=check)


def check(args: argparse.Namespace) -> tuple[Path, AudioSource]:
    """The output and the sound. Raises InputError for what is wrong with arguments and files; loads no model."""
    from ..dae_talker.model import BUNDLED
    from ..media.audio import open_audio
    from ..media.picture import read_picture
    from ..media.timebase import FPS, as_rate
    from ..media.video_writer import check_output
    from .pose import read_pose

    live.refuse_without_live(args)
    output = check_output(args.output, [path for path in (args.audio, args.reference, args.pose) if path])
    check_models(args, "dae_talker", BUNDLED)
    if args.fps is not None:
        as_rate(args.fps)
    if args.pose is not None:
        read_pose(args.pose, as_rate(FPS))
    if args.reference is not None:
        read_picture(args.reference, "reference picture")
    return output, open_audio(args.audio, args.start, args.duration)


def run(args: argparse.Namespace) -> int:
    """Write the video. All that can be wrong with the arguments is told before the work begins."""
    if args.live:
        return live.run(args)
    began = time.perf_counter()
    from tqdm import tqdm

    from ..dae_talker import pipeline
    from ..dae_talker.decode import sampling
    from ..dae_talker.model import BUNDLED, load_dae_talker
    from ..dae_talker.windows import Control
    from ..media.timebase import frame_count
    from ..parallel import pick_workers
    from .noise import starting_noise
    from .pose import read_pose

    output, source = check(args)
    talker = kept(load_dae_talker, args.model or BUNDLED, args.device, ear=args.ear)
    rate = pipeline.output_rate(talker.speech, args.fps)
    sampling(talker.autoencoder.config, args.sampler, args.steps)
    size = talker.autoencoder.frame_size(args.size)
    frames = frame_count(source.num_samples(), source.sample_rate, rate)
    pose = None if args.pose is None else read_pose(args.pose, talker.fps).at(frames, rate)
    control = Control(pose, args.pose_strength, expression=args.expression).checked(frames)
    if not args.no_idle:
        control = pipeline.idle_motion(talker.speech, source, rate, args.seed, control)
    noise = starting_noise(talker, args.reference, args.seed)
    loaded = time.perf_counter() - began
    shown: list[float] = []  # when frames had been written

    def told(frames: int) -> None:
        shown.append(time.perf_counter())
        bar.update(frames)

    with tqdm(total=frames, unit="frame", desc=output.name, disable=args.quiet) as bar:
        spoken = pipeline.speak_to_file(
            talker,
            source,
            output,
            rate,
            control,
            noise,
            sampler=args.sampler,
            steps=args.steps,
            workers=pick_workers(talker.device),
            progress=told,
            size=size,
        )
    result = {
        "output": str(output),
        "frames": spoken.frames,
        "fps": float(rate),
        "seconds_audio": round(spoken.seconds_audio, 6),
        "seconds_wall": round(time.perf_counter() - began, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "seconds_load": round(loaded, 3),
        "seconds_first_frame": round(shown[0] - began - loaded, 3),
        **{f"seconds_{part}": round(seconds, 3) for part, seconds in spoken.seconds.items()},
        "model": talker.name,
        "device": talker.device.type,
        "dtype": str(talker.dtype).removeprefix("torch."),
        "seed": args.seed,
    }
    working = sum(spoken.seconds.values())
    speed = f"{spoken.frames} frames in {working:.1f} s ({spoken.frames / working:.1f} a second)"
    report(args, result, f"{output}: {speed}")
    return 0
