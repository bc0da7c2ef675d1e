"""`speak --live` from outside: how late frames come, how steady memory is, whether it keeps up, for as long as you say.

    python -m benchmarks.live [--seconds 600] [--look-ahead 0.2] [--format mp4|ts] [--model NAME|FILE] [--json OUT.json]

The program runs as one of its own. Its standard input gets the samples of this repository, over and over with pauses
of three seconds, at the speed of their own time; what it writes is read out of a pipe. The latency of a frame is the
time from when the sample at the frame's middle was handed over to when the last byte of the frame came: look-ahead,
steps, networks, encoder and container included. Then the same sound is handed over at once for a while, which tells how
much faster than time it could be. The load average counts whatever else runs on the machine.
"""

from __future__ import annotations

import argparse
import array
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import termios
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from benchmarks.ending import run_program
from benchmarks.speak import ROOT, machine, table_of
from talkface_core.dae_talker.model import BUNDLED
from talkface_core.media.audio import analysis_blocks, open_audio

RATE, FPS = 16_000, 25
CHUNK = RATE // 50
PAUSE = 3.0
AT_ONCE = 60  # seconds
Seen = tuple[float, float, float, float]
"""Seconds since the start, resident MB, CPU seconds, load average."""
SAMPLES = ("hello.flac", "reply_left.flac", "reply_right.flac")
COLUMNS = {
    "seconds_audio": ("sound s", "{:.0f}"),
    "frames": ("frames", "{}"),
    "held": ("held", "{}"),
    "latency_p50": ("latency p50 s", "{:.3f}"),
    "latency_p99": ("p99 s", "{:.3f}"),
    "latency_most": ("most s", "{:.3f}"),
    "first_frame": ("first frame s", "{:.2f}"),
    "cpu_per_second": ("CPU s per s", "{:.2f}"),
    "real_time_factor": ("s per s at once", "{:.2f}"),
    "load_mean": ("load average", "{:.1f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600, metavar="S", help="default: 600")
    parser.add_argument("--look-ahead", type=float, default=0.2, metavar="S", help="default: 0.2")
    parser.add_argument("--format", choices=("mp4", "ts"), default="mp4", help="default: mp4")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument("--every", type=float, default=30.0, metavar="S", help="between readings of memory (30)")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = streamed(args, Path(folder))
        at_once = streamed(args, Path(folder), seconds=min(AT_ONCE, args.seconds), paced=False)
    result["real_time_factor"] = round(at_once["seconds_wall"] / at_once["seconds_audio"], 3)
    print(table_of([result], COLUMNS))
    print("\nmemory, MB: " + ", ".join(f"{second:.0f} s {mb:.0f}" for second, mb in result["memory"]))
    print(f"{machine()}; look-ahead {args.look_ahead:g} s, {args.format}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **result}, indent=2) + "\n")


def streamed(args: argparse.Namespace, folder: Path, seconds: int | None = None, paced: bool = True) -> dict[str, Any]:
    """One run: what the program says of itself, and what was seen from outside."""
    sound = spoken(args.seconds if seconds is None else seconds)
    pipe, film = folder / f"pipe.{args.format}", folder / f"film.{args.format}"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    words = ["speak", "--live", "-", "--rate", str(RATE), "-o", str(pipe), "--format", args.format, "--json"]
    words += ["--model", args.model, "--device", "cpu", "--look-ahead", str(args.look_ahead)]
    process = subprocess.Popen(
        [sys.executable, "-m", "talkface_core", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    arrivals: list[tuple[int, float]] = []
    reader = threading.Thread(target=received, args=(pipe, film, arrivals))
    reader.start()
    memory: list[Seen] = []
    done = threading.Event()
    began = handed_over(process, sound[:CHUNK])
    watcher = threading.Thread(target=watched, args=(process.pid, began, args.every, memory, done))
    watcher.start()
    try:
        for first in range(CHUNK, len(sound), CHUNK):
            if paced and (wait := began + first / RATE - time.monotonic()) > 0:
                time.sleep(wait)
            os.write(process.stdin.fileno(), sound[first : first + CHUNK].tobytes())
        done.set()  # while the process is still there
        watcher.join()
        process.stdin.close()
        printed = process.stdout.read()
    finally:
        done.set()
        process.wait()
    reader.join()
    cpu = memory[-1][2] if memory else float("nan")
    left = leaving(film, arrivals)
    late = np.array([moment - began - (frame + 0.5) / FPS for frame, moment in enumerate(left)])
    said = json.loads(printed)
    return {
        **{key: said[key] for key in ("frames", "held", "seconds_audio", "seconds_wall", "look_ahead", "work_p50")},
        "seconds_load": said["seconds_load"],
        "latency_inside_p50": said["latency_p50"],
        "latency_inside_p99": said["latency_p99"],
        "latency_p50": round(float(np.quantile(late, 0.5)), 3),
        "latency_p99": round(float(np.quantile(late, 0.99)), 3),
        "latency_most": round(float(late.max()), 3),
        "first_frame": round(left[0] - began, 3),
        "cpu_per_second": round(cpu / said["seconds_audio"], 3),
        "load_mean": round(float(np.mean([seen[3] for seen in memory])), 2),
        "memory": [seen[:2] for seen in memory],
    }


def spoken(seconds: int) -> NDArray[np.int16]:
    """The samples of the repository with pauses between them, over and over, int16 at 16 kHz."""
    pieces = []
    for name in SAMPLES:
        mono = torch.cat(list(analysis_blocks(open_audio(ROOT / "samples" / name), RATE)))
        pieces += [mono.mul(32767).short().numpy(), np.zeros(int(PAUSE * RATE), np.int16)]
    return np.resize(np.concatenate(pieces), seconds * RATE).astype("<i2")


def handed_over(process: subprocess.Popen, chunk: NDArray[np.int16]) -> float:
    """When the program has loaded: it takes the first chunk out of the pipe. The moment at which that chunk began."""
    os.write(process.stdin.fileno(), chunk.tobytes())
    waiting = array.array("i", [1])
    while waiting[0]:
        if process.poll() is not None:
            sys.exit(f"speak ended with status {process.returncode}")
        fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, waiting)
        time.sleep(0.001)
    return time.monotonic() - len(chunk) / RATE


def received(pipe: Path, film: Path, arrivals: list[tuple[int, float]]) -> None:
    """Keep what comes out of the pipe, and how many bytes had come when."""
    total = 0
    with pipe.open("rb", buffering=0) as source, film.open("wb") as target:
        while data := source.read(1 << 16):
            total += len(data)
            arrivals.append((total, time.monotonic()))
            target.write(data)


def watched(number: int, began: float, every: float, memory: list[Seen], done: threading.Event) -> None:
    """What the process takes, every so often, until the end."""
    process = psutil.Process(number)
    first = sum(process.cpu_times()[:2])
    after, ended = min(every, 5.0), False
    try:
        while not ended:
            ended = done.wait(after)
            after = every
            used, resident = sum(process.cpu_times()[:2]) - first, process.memory_info().rss / 2**20
            memory.append((round(time.monotonic() - began, 1), round(resident, 1), used, os.getloadavg()[0]))
    except psutil.NoSuchProcess:
        pass


def leaving(film: Path, arrivals: list[tuple[int, float]]) -> list[float]:
    """When the last byte of each frame came."""
    totals = [total for total, _ in arrivals]
    return [arrivals[min(bisect_left(totals, end), len(arrivals) - 1)][1] for end in ends_of(film)]


def ends_of(film: Path) -> Iterator[int]:
    """Where in the file each frame ends. In a transport stream packets of 188 bytes carry it, 184 of them its own."""
    with av.open(str(film)) as container:
        (stream,) = container.streams.video
        for packet in container.demux(stream):
            if packet.size:
                size = packet.size if film.suffix == ".mp4" else -(-packet.size // 184 + 1) * 188
                yield packet.pos + size


if __name__ == "__main__":
    run_program(main)
