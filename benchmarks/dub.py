"""How fast `dub` is and how much memory it takes, for short and for long sound, each in a process of its own.

    python -m benchmarks.dub [--model NAME|FILE] [--video FILE] [--seconds 10 300] [--json OUT.json] [--flags …]

Unless a video is given, a clip of 640 x 360 is made of a bundled sample: 10 s of a face 360 px high. Longer sound plays
it to and fro. Frames a second count from the moment that the networks are loaded, with everything: finding the face,
reading, writing. Processor time is that of all threads, loading included; on a busy machine it says more than the
clock. Memory is the process's peak, weights and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.ending import run_program
from benchmarks.mouth_models import system_of
from benchmarks.speak import ROOT, machine, repeated, table_of
from talkface_core.dubbing.model import FACES, LIPS, PASTING, READING, WRITING
from talkface_core.ladtalk.model import BUNDLED
from talkface_core.ladtalk.pipeline import TEXTURE
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter

WIDE, HIGH, SECONDS = 640, 360, 10
STAGES = (READING, FACES, LIPS, TEXTURE, PASTING, WRITING, "plumbing")
COLUMNS = {
    "seconds_audio": ("audio s", "{:.0f}"),
    "frames": ("frames", "{}"),
    "seconds_load": ("load s", "{:.1f}"),
    **{f"share_{stage}": (stage, "{:.1%}") for stage in STAGES},
    "frames_per_second": ("frames/s", "{:.1f}"),
    "seconds_cpu": ("processor s", "{:.0f}"),
    "peak_rss_mb": ("peak MB", "{:.0f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument("--video", type=Path, metavar="FILE", help="footage (default: a 360p clip of a sample)")
    parser.add_argument(
        "--audio", type=Path, default=ROOT / "samples" / "hello.flac", metavar="FILE", help="is repeated"
    )
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 300], metavar="S", help="default: 10 300")
    parser.add_argument("--threads", type=int, metavar="N", help="of the networks (default: torch's choice)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--flags", default="", metavar="TEXT", help="more flags for dub, such as '--steps 8'")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or clip(Path(folder) / "clip.mp4")
        rows = [measured(args, video, seconds, Path(folder)) for seconds in args.seconds]
    print(table_of(rows, COLUMNS))
    growth = rows[-1]["peak_rss_mb"] / rows[0]["peak_rss_mb"] - 1
    print(f"\nmemory: {args.seconds[-1]} s take {growth:+.1%} of what {args.seconds[0]} s take; {machine()}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=2) + "\n")


def clip(path: Path, wide: int = WIDE, high: int = HIGH, seconds: int = SECONDS) -> Path:
    """A video of the sample's face, to and fro, before a blurred wall of its own colours; none where it is square."""
    frames = np.concatenate(list(VideoReader(ROOT / "samples" / "ada.mp4").chunks()))
    order = np.arange(seconds * 25) % (2 * len(frames) - 2)
    with VideoWriter(path, wide, high, 25) as writer:
        for k in np.minimum(order, 2 * len(frames) - 2 - order):
            picture = cv2.GaussianBlur(cv2.resize(frames[k], (wide, high)), (0, 0), 15)
            side = (wide - high) // 2
            picture[:, side : side + high] = cv2.resize(frames[k], (high, high), interpolation=cv2.INTER_CUBIC)
            writer.write(picture[None])
    return path


def measured(args: argparse.Namespace, video: Path, seconds: int, folder: Path) -> dict[str, Any]:
    """One run of `dub` on so many seconds of sound."""
    sound, output = folder / f"{seconds}.wav", folder / "out.mp4"
    repeated(args.audio, seconds, sound)
    command = [sys.executable, "-m", "talkface_core", "dub", str(video), str(sound), "-o", str(output)]
    command += [*args.flags.split(), "--system", system_of(args.model)]
    command += ["--model", args.model, "--device", args.device, "--detector", "bundled", "--json", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if args.threads is not None:
        environment["OMP_NUM_THREADS"] = str(args.threads)
    before = os.times()
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    after, result = os.times(), json.loads(run.stdout)
    spent = {stage: result.pop(f"seconds_{stage}", 0.0) for stage in STAGES}
    working = sum(spent.values())
    result["seconds_cpu"] = round(
        after.children_user + after.children_system - before.children_user - before.children_system, 2
    )
    result["frames_per_second"] = round(result["frames"] / working, 2)
    result |= {f"share_{stage}": round(part / working, 4) for stage, part in spent.items()}
    return {key: value for key, value in result.items() if key != "output"}


if __name__ == "__main__":
    run_program(main)
