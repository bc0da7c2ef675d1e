"""How fast `speak` is and how much memory it takes, for short and for long sound, each in a process of its own.

    python -m benchmarks.speak [--model NAME|FILE] [--seconds 10 600] [--threads N] [--json OUT.json]

Frames a second, and the seconds to the first frame, count from the moment that the model is loaded. Network is the time
within the networks; plumbing is all the rest: reading the sound, features, writing the video. Memory is the process's
peak, weights and libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.ending import run_program
from talkface_core.dae_talker.model import BUNDLED
from talkface_core.media.audio import analysis_blocks, open_audio

ROOT = Path(__file__).parents[1]
RATE = 16000
COLUMNS = {
    "seconds_audio": ("audio s", "{:.0f}"),
    "frames": ("frames", "{}"),
    "seconds_load": ("load s", "{:.1f}"),
    "seconds_first_frame": ("first frame s", "{:.2f}"),
    "seconds_network": ("network s", "{:.1f}"),
    "seconds_plumbing": ("plumbing s", "{:.1f}"),
    "plumbing_share": ("plumbing", "{:.1%}"),
    "frames_per_second": ("frames/s", "{:.1f}"),
    "peak_rss_mb": ("peak MB", "{:.0f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument(
        "--audio", type=Path, default=ROOT / "samples" / "hello.flac", metavar="FILE", help="is repeated"
    )
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 600], metavar="S", help="default: 10 600")
    parser.add_argument("--steps", type=int, metavar="N", help="network evaluations a frame (default: the model's)")
    parser.add_argument("--threads", type=int, metavar="N", help="of the networks (default: torch's choice)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the numbers")
    args = parser.parse_args()
    rows = [measured(args, seconds) for seconds in args.seconds]
    print(table_of(rows, COLUMNS))
    growth = rows[-1]["peak_rss_mb"] / rows[0]["peak_rss_mb"] - 1
    print(f"\nmemory: {args.seconds[-1]} s take {growth:+.1%} of what {args.seconds[0]} s take; {machine()}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "runs": rows}, indent=2) + "\n")


def measured(args: argparse.Namespace, seconds: int) -> dict[str, Any]:
    """One run of `speak` on so many seconds of sound."""
    with tempfile.TemporaryDirectory() as folder:
        sound, video = Path(folder) / "sound.wav", Path(folder) / "out.mp4"
        repeated(args.audio, seconds, sound)
        words = ["speak", sound, "-o", video, "--model", args.model, "--device", args.device]
        words += [] if args.steps is None else ["--steps", args.steps]
        result = told(words, args.threads)
    working = result["seconds_network"] + result["seconds_plumbing"]
    result["plumbing_share"] = round(result["seconds_plumbing"] / working, 4)
    result["frames_per_second"] = round(result["frames"] / working, 2)
    return {key: value for key, value in result.items() if key != "output"}


def told(words: Sequence[object], threads: int | None = None) -> dict[str, Any]:
    """What the command line says of its work, as JSON, in a process of its own with so many threads."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [sys.executable, "-m", "talkface_core", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


def repeated(source: Path, seconds: int, target: Path) -> None:
    """The sound of `source` over and over, for so many seconds, as a mono wav."""
    samples = torch.cat(list(analysis_blocks(open_audio(source), RATE))).mul(32767).short().numpy()
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.resize(samples, seconds * RATE).astype("<i2").tobytes())


def table_of(rows: list[dict[str, Any]], columns: dict[str, tuple[str, str]]) -> str:
    """The runs as a Markdown table: of each key, a title and a format."""
    lines = [[title for title, _ in columns.values()], ["---:"] * len(columns)]
    lines += [[form.format(row[key]) for key, (_, form) in columns.items()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Cores, processor and torch, in a few words."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{os.cpu_count()} cores, {name}, torch {torch.__version__}"


if __name__ == "__main__":
    run_program(main)
