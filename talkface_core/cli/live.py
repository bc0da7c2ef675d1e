"""`speak --live`: a talking face while the sound is still coming, out of a pipe or from a file at the speed of time."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import peak_rss_mb, report

if TYPE_CHECKING:
    from ..dae_talker.live import LiveFrame
    from ..dae_talker.model import DAETalker
    from ..dae_talker.windows import Control
    from ..media.live_sound import LiveSound

PIPE = "-"
_HEARD_AT_ONCE = 0.0125  # seconds: a step of the mel


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What `speak` takes beside its own flags for a live run."""
    live = parser.add_argument_group(
        "live",
        "AUDIO - is standard input: WAV, known by its header, or raw 16-bit mono. -o - is standard output. The output "
        "grows under its own name and plays wherever it ends.",
    )
    live.add_argument("--live", action="store_true", help="frames leave while the sound comes")
    live.add_argument("--look-ahead", type=float, metavar="SECONDS", help="sound heard beyond a frame (default: 0.2)")
    live.add_argument("--rate", type=int, metavar="HZ", help="standard input is raw, at this rate (default: 16000)")
    live.add_argument("--format", choices=("mp4", "ts"), help="fragmented MP4 or MPEG-TS (default: by the name)")


def refuse_without_live(args: argparse.Namespace) -> None:
    """Raises InputError for what only a live run can take."""
    for flag, given in (("--look-ahead", args.look_ahead), ("--rate", args.rate), ("--format", args.format)):
        if given is not None:
            raise InputError(f"{flag} is for live runs: add --live, or leave it out")
    for name, given in (("AUDIO", args.audio), ("-o", args.output)):
        if given == PIPE:
            raise InputError(f"{name} {PIPE} is for live runs: add --live, or give a file")


def run(args: argparse.Namespace) -> int:
    """Write the stream. All that can be wrong with the arguments is told before anything is written."""
    began = time.perf_counter()
    import torch

    from ..acoustic.hearing import NO_EAR
    from ..dae_talker.live import live_frames, warm_up
    from ..dae_talker.live_latents import Idle, LiveSettings
    from ..dae_talker.model import BUNDLED, load_dae_talker
    from ..latency import Latency
    from ..media.audio import analysis_blocks
    from ..media.live_writer import LiveWriter

    if args.ear not in (None, NO_EAR):
        raise InputError(
            "--ear hears seconds at a time, for which a live run cannot wait: leave one of them out, or give none"
        )
    form, target = _output(args)
    settings = LiveSettings() if args.look_ahead is None else LiveSettings(args.look_ahead)
    talker = load_dae_talker(args.model or BUNDLED, args.device, ear=NO_EAR)
    control, drawing = _control(args, talker), _drawing(args, talker, settings.hop)
    idle = None if args.no_idle else Idle(talker.speech, args.seed)
    warm_up(talker, settings, **drawing)
    loaded = time.perf_counter() - began
    live = _sound(args)
    latency, work = Latency(), Latency()
    frames = held = 0
    first: float | None = None
    started = time.monotonic()
    sound, size = analysis_blocks(live, seconds=_HEARD_AT_ONCE), drawing["size"]
    shown = live_frames(talker, sound, settings, control, idle, behind=live.behind, **drawing)
    with closing(shown), LiveWriter(target, form, size, size, talker.fps, live.track) as writer:
        step: list[LiveFrame] = []
        for frame in shown:
            step.append(frame)
            if not frame.last:
                continue
            writer.write(torch.stack([each.picture for each in step]), live.samples)
            now = time.monotonic()
            first = round(now - started, 3) if first is None else first
            for each in step:
                latency.add(now - live.came(each.seconds))
                work.add(now - live.came(each.heard))
            frames, held = frames + len(step), held + sum(each.held for each in step)
            step.clear()
    seconds = live.samples / live.sample_rate
    result = {
        "output": PIPE if isinstance(target, int) else str(target),
        "format": form,
        "frames": frames,
        "held": held,
        "fps": float(talker.fps),
        "seconds_audio": round(seconds, 6),
        "seconds_wall": round(time.monotonic() - started, 3),
        "seconds_load": round(loaded, 3),
        "seconds_first_frame": first,
        "look_ahead": settings.look_ahead,
        "latency_p50": latency.at(0.5),
        "latency_p99": latency.at(0.99),
        "work_p50": work.at(0.5),
        "work_p99": work.at(0.99),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "model": talker.name,
        "device": talker.device.type,
        "seed": args.seed,
    }
    late = f", {held} held for want of time" if held else ""
    speed = f"{frames} frames{late}; latency {latency.at(0.5):.2f} s, 99 % below {latency.at(0.99):.2f} s"
    report(args, result, f"{result['output']}: {speed} (look-ahead {settings.look_ahead:g} s)")
    return 0


def _control(args: argparse.Namespace, talker: DAETalker) -> Control:
    from ..dae_talker import pipeline
    from ..dae_talker.windows import Control
    from .pose import read_pose

    if args.fps is not None and pipeline.output_rate(talker.speech, args.fps) != talker.fps:
        raise InputError(f"--fps {args.fps}: live frames come at the model's own {float(talker.fps):g} a second")
    pose = None if args.pose is None else read_pose(args.pose, talker.fps)
    if pose is not None and len(pose.seconds) > 1:
        raise InputError(f"--pose {args.pose}: a live run takes one pose, yaw,pitch,roll, such as 15,0,0")
    still = None if pose is None else pose.at(1, talker.fps)[0]
    control = Control(still, args.pose_strength, expression=args.expression)
    control.checked(1)
    return control


def _drawing(args: argparse.Namespace, talker: DAETalker, hop: int) -> dict[str, Any]:
    from ..dae_talker.decode import sampling
    from ..dae_talker.live import live_steps
    from ..parallel import pick_workers
    from .noise import starting_noise

    steps = live_steps(talker) if args.steps is None else args.steps
    sampling(talker.autoencoder.config, args.sampler, steps)
    return {
        "noise": starting_noise(talker, args.reference, args.seed),
        "sampler": args.sampler,
        "steps": steps,
        # An upsampler's frames only where asked for: they take half as long again, and time is what is short here.
        "size": talker.image_size if args.size is None else talker.autoencoder.frame_size(args.size),
        "workers": min(pick_workers(talker.device), hop),
    }


def _output(args: argparse.Namespace) -> tuple[str, Path | int]:
    from ..media.live_writer import FORMATS
    from ..media.video_writer import check_output

    if args.output == PIPE:
        if args.json:
            raise InputError("--json and -o - both want standard output: give a file to -o, or leave --json out")
        if sys.stdout is None:
            raise InputError("-o - writes to standard output, which is closed: pipe it into a program, or give a file")
        if sys.stdout.isatty():
            raise InputError("-o - writes a video to standard output, which is a terminal: pipe it into a program")
        return args.format or "mp4", sys.stdout.fileno()
    suffix = Path(args.output).suffix.lower()
    if args.format is None and suffix[1:] not in FORMATS:
        raise InputError(
            f"output {args.output} must end in .mp4 (fragmented) or .ts (MPEG-TS); -o - streams to standard output"
        )
    form = args.format or suffix[1:]
    inputs = [path for path in (args.audio, args.reference, args.pose) if path and path != PIPE]
    return form, check_output(args.output, inputs, f".{form}")


def _sound(args: argparse.Namespace) -> LiveSound:
    from ..media.audio import open_audio
    from ..media.live_sound import LiveSound, played
    from ..media.piped_sound import piped_sound

    if args.audio == PIPE:
        if args.start or args.duration is not None:
            raise InputError("--start and --duration cut files; standard input is taken as it comes: leave them out")
        if sys.stdin is None or sys.stdin.isatty():
            state = "closed" if sys.stdin is None else "a terminal"
            raise InputError(f"AUDIO - reads sound from standard input, which is {state}: pipe a program's into it")
        target = Path(args.output)
        if target.is_file() and os.path.samestat(target.stat(), os.fstat(sys.stdin.fileno())):
            raise InputError(f"output {target} is also standard input and would be overwritten; give it another name")
        return piped_sound(sys.stdin.fileno(), args.rate)
    if args.rate is not None:
        raise InputError("--rate is that of raw sound from standard input; a file says its own: leave it out")
    source = open_audio(args.audio, args.start, args.duration)
    return LiveSound(played(source), source.sample_rate, source.channels, source.name, source.layout)
