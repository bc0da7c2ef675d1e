"""How many jobs a minute `batch` does with one worker and with more, and what each part of a job takes.

    python -m benchmarks.batch_throughput [--system ladtalk] [--jobs 8] [--seconds 4] [--workers 1 2] [--json OUT.json]

The jobs are alike: a bundled sample says so many seconds of a sound. The clock runs from the start of the program to
its end, so that starting workers and loading models is in it; beside it stands what a job takes once its worker has its
models, by the clock and in processor time, which says more on a busy machine, and what the first job takes besides.
Cores are shared out among the workers.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.ending import run_program
from benchmarks.speak import ROOT, machine, repeated, table_of
from talkface_core.batch.job import Job
from talkface_core.batch.record import Records
from talkface_core.batch.worker import Setting, work
from talkface_core.media.video_reader import VideoReader

SAMPLES = ROOT / "samples"
INPUTS = {
    "speak": "{sound}",
    "ladtalk": f"{SAMPLES / 'ada.mp4'};{{sound}}",
    "landmark-diffusion": f"{SAMPLES / 'ada.mp4'};{{sound}}",
    "animate": f"{SAMPLES / 'portrait.jpg'};{{sound}}",
}
COLUMNS = {
    "workers": ("workers", "{}"),
    "threads": ("threads each", "{}"),
    "seconds_wall": ("wall s", "{:.1f}"),
    "seconds_start": ("beside jobs s", "{:.1f}"),
    "seconds_job": ("a job s", "{:.2f}"),
    "jobs_per_minute": ("jobs/min", "{:.1f}"),
    "hours_per_hour": ("h of sound per h", "{:.2f}"),
    "seconds_cpu": ("processor s a job", "{:.2f}"),
    "seconds_load": ("first job, more s", "{:.2f}"),
    "bytes_per_second": ("output kB per s of sound", "{:.0f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--system", choices=tuple(INPUTS), default="ladtalk")
    parser.add_argument("--jobs", type=int, default=8, metavar="N", help="default: 8")
    parser.add_argument("--seconds", type=int, default=4, metavar="S", help="of sound in each (default: 4)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="default: 1 2")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="also write the numbers")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = folder / "sound.wav"
        repeated(SAMPLES / "hello.flac", args.seconds, sound)
        table = folder / "jobs.csv"
        with table.open("w", encoding="utf-8", newline="") as file:
            rows = [(args.system, INPUTS[args.system].format(sound=sound), "", f"{n}.mp4") for n in range(args.jobs)]
            csv.writer(file).writerows([("system", "inputs", "options", "output"), *rows])
        runs = [measured(args, table, folder / f"out{workers}", workers) for workers in args.workers]
    print(table_of(runs, COLUMNS))
    print(f"\ndecoding: {decoding():.3f} processor s a second of film; a job's record: {1e3 * recording():.1f} ms")
    print(f"{args.jobs} jobs of {args.system}, {args.seconds} s of sound each; {machine()}")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "system": args.system, "runs": runs}, indent=2) + "\n")


def measured(args: argparse.Namespace, table: Path, out: Path, workers: int) -> dict[str, Any]:
    """One run of all jobs with so many workers."""
    command = [sys.executable, "-m", "talkface_core", "batch", str(table), "-o", str(out), "--workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    command += ["--device", args.device, "--json", "--quiet"]
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    wall = time.perf_counter() - began
    jobs = json.loads(run.stdout)["jobs"]
    # A worker's first job loads its models besides.
    workers_seen = {job["worker"] for job in jobs}
    firsts = [min((j for j in jobs if j["worker"] == name), key=lambda j: j["line"]) for name in workers_seen]
    later = [job for job in jobs if job not in firsts] or jobs
    job, cpu = (sum(each[key] for each in later) / len(later) for key in ("seconds", "seconds_cpu"))
    return {
        "workers": workers,
        "threads": max(1, len(os.sched_getaffinity(0)) // workers),
        "seconds_wall": wall,
        "seconds_start": wall - sum(each["seconds"] for each in jobs) / workers,
        "seconds_job": job,
        "jobs_per_minute": 60 * workers / job,
        "hours_per_hour": workers * jobs[0]["seconds_audio"] / job,
        "seconds_cpu": cpu,
        "seconds_load": sum(first["seconds_cpu"] for first in firsts) / len(firsts) - cpu,
        "bytes_per_second": sum(f.stat().st_size for f in out.glob("*.mp4"))
        / len(jobs)
        / jobs[0]["seconds_audio"]
        / 1e3,
    }


def decoding() -> float:
    """Processor seconds for a second of the sample film, as the pipelines read it."""
    reader = VideoReader(SAMPLES / "ada.mp4")
    began = time.process_time()
    frames = sum(len(chunk) for chunk in reader.chunks())
    return (time.process_time() - began) * float(reader.fps) / frames


def recording(times: int = 50) -> float:
    """Seconds by the clock that lock, record and their flushes to the disk take of each job."""
    with tempfile.TemporaryDirectory() as name:
        setting = Setting(_nothing, name, name, 1)
        began = time.perf_counter()
        for n in range(times):
            work(setting, Job(n, ("nothing",), f"{n}.txt"))
        return (time.perf_counter() - began) / times


def _nothing(job: Job, records: Records) -> tuple[dict[str, Any], tuple[str, ...]]:
    records.target(job).touch()
    return {}, ()


if __name__ == "__main__":
    run_program(main)
