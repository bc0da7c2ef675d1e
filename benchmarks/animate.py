"""How fast `animate` and `imagine` are and how much memory they take, for short and for long sound.

    python -m benchmarks.animate [--picture FILE] [--model NAME|FILE] [--seconds 10 60] [--threads N] [--json OUT.json]

Without --picture the portrait is guessed of the sound (`imagine`), which its first frame waits for. Frames a second
count all the work of the video once the model is loaded and the portrait is there. Each run is a process of its own;
memory is its peak, weights and libraries included.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.ending import run_program
from benchmarks.speak import ROOT, machine, repeated, table_of, told

PARTS = ("seconds_motion", "seconds_drawing", "seconds_pasting", "seconds_writing", "seconds_plumbing")
COLUMNS = {
    "seconds_audio": ("audio s", "{:.0f}"),
    "frames": ("frames", "{}"),
    "seconds_load": ("load s", "{:.1f}"),
    "seconds_portrait": ("portrait s", "{:.1f}"),
    "seconds_first_frame": ("first frame s", "{:.2f}"),
    "seconds_motion": ("motion s", "{:.1f}"),
    "seconds_drawing": ("drawing s", "{:.1f}"),
    "frames_per_second": ("frames/s", "{:.1f}"),
    "peak_rss_mb": ("peak MB", "{:.0f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="who speaks (default: a guessed portrait)")
    parser.add_argument("--audio", type=Path, default=ROOT / "samples" / "hello.flac", help="is repeated")
    parser.add_argument("--model", default="see_the_speaker_tiny", metavar="NAME|FILE")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60], metavar="S", help="default: 10 60")
    parser.add_argument("--threads", type=int, metavar="N", help="of the networks (default: torch's choice)")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the numbers")
    args = parser.parse_args()
    rows = [measured(args, seconds) for seconds in args.seconds]
    print(f"{table_of(rows, COLUMNS)}\n\n{machine()}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=2) + "\n")


def measured(args: argparse.Namespace, seconds: int) -> dict[str, Any]:
    """One run on so many seconds of sound."""
    with tempfile.TemporaryDirectory() as folder:
        sound, video = Path(folder) / "sound.wav", Path(folder) / "out.mp4"
        repeated(args.audio, seconds, sound)
        given = ["animate", args.picture, sound] if args.picture else ["imagine", sound]
        result = told([*given, "-o", video, "--model", args.model], args.threads)
    working = sum(result[part] for part in PARTS)
    result["frames_per_second"] = round(result["frames"] / working, 2)
    return {"seconds_portrait": 0.0} | {key: value for key, value in result.items() if key != "output"}


if __name__ == "__main__":
    run_program(main)
