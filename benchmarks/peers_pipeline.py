"""`dub` beside Wav2Lip's own inference.py: the same film, sound and random weights, each whole, on a CPU.

    python -m benchmarks.peers_pipeline CLONE [--seconds 10] [--sizes 256x256 1280x720] [--ffmpeg FILE] [--out DIR]

CLONE is one of github.com/Rudrabha/Wav2Lip. Its script runs as it is, in a process of its own whose work folder is a
temporary one; librosa's `mel`, which has taken its numbers by name alone since 0.10, is told them by name. It is
given the face's square by `--box`, so its detector, whose weights would have to be downloaded, costs it nothing, and it
sees one square where `dub` follows the face. It calls the program ffmpeg (`--ffmpeg`, else that of the path). `dub` has
the same weights, converted, in float32 as the script's, and in bfloat16.

Processor seconds are those of all threads and children, with one thread for the networks, so that other work on the
machine changes them little: threads that wait for each other count as if they worked. A frame costs what a film of
`--seconds` takes more than one of a second; the rest is starting. `network` is what of it passes within Wav2Lip's net,
and `by network` how many times that all of a frame takes; `dub` follows the face besides. Memory is the most that the
process and its children hold together, looked at twenty times a second. `difference` is the mean over the lower half of
the square, of 255 levels, in all frames that both made: the script lays the whole square into the frame as the net gave
it, `dub` the mouth alone, with a soft edge, in the colours around it, and shows the net another frame's shut mouth, not
its own. The weights being random, all that differs shows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.dub import clip
from benchmarks.ending import run_program
from benchmarks.speak import ROOT, machine, repeated, table_of
from talkface_core.faces.align import align
from talkface_core.faces.bundled import load_bundled
from talkface_core.faces.tracking import track_faces
from talkface_core.media.video_reader import VideoReader

PROGRAMS = (("wav2lip", "float32"), ("dub", "float32"), ("dub", "bfloat16"))
"""The script knows float32 alone."""

TIMED = """
import atexit, functools, pathlib, sys, time
spent = [0.0]
def timed(function):
    @functools.wraps(function)
    def run(*args, **named):
        began = time.thread_time()
        try:
            return function(*args, **named)
        finally:
            spent[0] += time.thread_time() - began
    return run
atexit.register(lambda: pathlib.Path("network").write_text(str(spent[0])))
"""
"""Leaves the seconds of what is `timed` in a file."""

PUBLIC = """
import runpy
import librosa.filters
mel = librosa.filters.mel
librosa.filters.mel = lambda sr, n_fft, **others: mel(sr=sr, n_fft=n_fft, **others)
sys.path.insert(0, sys.argv.pop(1))
import models
models.Wav2Lip.forward = timed(models.Wav2Lip.forward)
sys.argv[0] = sys.path[0] + "/inference.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the script of the clone that is the first argument."""

OURS = """
import torch
import talkface_core.device
dtype = getattr(torch, sys.argv.pop(1))
talkface_core.device.pick_dtype = lambda device: dtype
from talkface_core.ladtalk.wav2lip import Wav2Lip
Wav2Lip.predict = timed(Wav2Lip.predict)
from talkface_core.cli.main import main
sys.exit(main())
"""
"""Runs a command in the number format that is the first argument, whatever suits the machine."""

COLUMNS = {
    "film": ("film", "{}"),
    "program": ("program", "{}"),
    "dtype": ("dtype", "{}"),
    "frames": ("frames", "{}"),
    "wall": ("clock s", "{:.1f}"),
    "processor": ("processor s", "{:.1f}"),
    "start": ("starting s", "{:.1f}"),
    "ms": ("ms a frame", "{:.1f}"),
    "network_ms": ("network ms", "{:.1f}"),
    "overhead": ("by network", "{:.2f}"),
    "peak": ("peak MB", "{:.0f}"),
    "difference": ("difference", "{:.1f}"),
}


@dataclass(frozen=True)
class Spent:
    """Of a process and its children: seconds of the clock, of the processor and of that within the network, and the
    most memory in MB."""

    wall: float
    processor: float
    network: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", type=Path, metavar="CLONE")
    parser.add_argument("--seconds", type=int, default=10, metavar="S", help="of film and sound (default: 10)")
    parser.add_argument("--sizes", nargs="+", default=["256x256", "1280x720"], metavar="WxH", help="of the films")
    parser.add_argument(
        "--audio", type=Path, default=ROOT / "samples" / "hello.flac", metavar="FILE", help="is repeated"
    )
    parser.add_argument("--ffmpeg", type=Path, metavar="FILE", help="for the script (default: that of the path)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write peers_pipeline.md and .json, and the films")
    args = parser.parse_args()
    ffmpeg = args.ffmpeg or shutil.which("ffmpeg")
    if ffmpeg is None:
        parser.error("Wav2Lip's script calls ffmpeg, and there is none on the path; give --ffmpeg")
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("bin", "temp"):
            (folder / part).mkdir()
        (folder / "bin" / "ffmpeg").symlink_to(Path(ffmpeg).absolute())
        for side in ("public", "ours"):  # the one writes the weights, the other converts them
            command = [sys.executable, "-m", "benchmarks.peers_side", "wav2lip", side, "float32"]
            command += [str(args.clone.absolute()), str(folder), "--units", "1", "--repeats", "1"]
            subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        rows = [row for size in args.sizes for row in compared(args, folder, size)]
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            for film in folder.glob("*.mp4"):
                shutil.copy(film, args.out)
    table = f"{table_of(rows, COLUMNS)}\n\n{machine()}\n"
    print(table)
    if args.out:
        (args.out / "peers_pipeline.md").write_text(table, encoding="utf-8")
        (args.out / "peers_pipeline.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def compared(args: argparse.Namespace, folder: Path, size: str) -> list[dict[str, Any]]:
    """A film of one size through the script, and through `dub` in both number formats."""
    films = {seconds: folder / f"film_{size}_{seconds}.mp4" for seconds in (1, args.seconds)}
    for seconds, film in films.items():
        clip(film, *map(int, size.split("x")), seconds)
        repeated(args.audio, seconds, film.with_suffix(".wav"))
    top, bottom, left, right = box = square(films[args.seconds])
    public, rows = folder / f"wav2lip_float32_{size}.mp4", []
    for program, dtype in PROGRAMS:
        output = folder / f"{program}_{dtype}_{size}.mp4"
        few, short, _ = made(args.clone, folder, program, dtype, box, films[1], output)
        frames, spent, told = made(args.clone, folder, program, dtype, box, films[args.seconds], output)
        row: dict[str, Any] = {"film": size, "program": program, "dtype": dtype, "frames": frames}
        row |= {"wall": spent.wall, "processor": spent.processor, "peak": spent.peak}
        row["ms"] = 1000 * (spent.processor - short.processor) / (frames - few)
        row["start"] = spent.processor - row["ms"] * frames / 1000
        row["network_ms"] = 1000 * (spent.network - short.network) / (frames - few)
        row["overhead"] = row["ms"] / row["network_ms"]
        row["difference"] = difference(output, public, ((top + bottom) // 2, bottom, left, right))
        if program == "dub":
            row["stages"] = {key: value for key, value in json.loads(told).items() if key.startswith("seconds_")}
        rows.append(row)
    return rows


def made(
    clone: Path, folder: Path, program: str, dtype: str, box: tuple[int, int, int, int], film: Path, output: Path
) -> tuple[int, Spent, str]:
    """A film by a program: its frames, what it took, and what was printed."""
    sound = str(film.with_suffix(".wav"))
    if program == "dub":
        command = [
            sys.executable,
            "-c",
            TIMED + OURS,
            dtype,
            "dub",
            str(film),
            sound,
            "-o",
            str(output),
            "--quiet",
            "--json",
        ]
        command += ["--model", str(folder / "wav2lip.safetensors"), "--device", "cpu", "--detector", "bundled"]
    else:
        command = [sys.executable, "-c", TIMED + PUBLIC, str(clone.absolute()), "--face", str(film), "--audio", sound]
        command += ["--checkpoint_path", str(folder / "wav2lip.pth"), "--outfile", str(output)]
        command += ["--box", *map(str, box)]
    spent, told = run(command, folder)
    return sum(len(chunk) for chunk in VideoReader(output).chunks()), spent, told


def run(command: list[str], folder: Path) -> tuple[Spent, str]:
    """What a command took, and what it printed. Raises CalledProcessError, after the end of what it had to say."""
    began, before, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN), 0
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    with (folder / "told").open("w+") as told, (folder / "errors").open("w+") as errors:
        process = psutil.Popen(command, cwd=folder, env=environment, stdout=told, stderr=errors)
        while process.poll() is None:
            peak = max(peak, held(process))
            time.sleep(0.05)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        errors.seek(0)
        if process.returncode:
            print(errors.read()[-2000:], file=sys.stderr)
            raise subprocess.CalledProcessError(process.returncode, command)
        told.seek(0)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Spent(wall, processor, float((folder / "network").read_text()), peak / 2**20), told.read()


def held(process: psutil.Process) -> int:
    """Bytes that a process and its children hold at this moment."""
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.Error:
        pass  # ended meanwhile
    return total


def square(film: Path) -> tuple[int, int, int, int]:
    """The square that `dub` cuts out of a film, upright and on average over its frames: top, bottom, left, right."""
    reader = VideoReader(film)
    place = align(track_faces(reader.chunks(), reader.fps, load_bundled()), 96)
    back = place.inverse().numpy()
    side = 96 / float(place.scales().mean())
    left, top = (back[:, :, :2] @ np.array([48, 48]) + back[:, :, 2]).mean(0) - side / 2
    bottom, right = min(round(top + side), reader.height), min(round(left + side), reader.width)
    return max(round(top), 0), bottom, max(round(left), 0), right


def difference(film: Path, other: Path, box: tuple[int, int, int, int]) -> float:
    """Mean absolute difference of two films in a box, of 255 levels, over the frames that both have."""
    top, bottom, left, right = box
    means: list[float] = []
    for a, b in zip(VideoReader(film).chunks(1), VideoReader(other).chunks(1), strict=False):
        parts: list[NDArray[np.float32]] = [one[0, top:bottom, left:right].astype(np.float32) for one in (a, b)]
        means.append(float(np.abs(parts[0] - parts[1]).mean()))
    return float(np.mean(means))


if __name__ == "__main__":
    run_program(main)
