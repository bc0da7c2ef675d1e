"""A picture of videos: each a row of frames, above each other at the same times.

    python -m benchmarks.frames_picture assets/voice.jpg talks.mp4 made.mp4 --times 0.2 0.6 1.1 1.7 2.3

Times are seconds of every video. Nothing is chosen by how good it looks: give the times, or have them evenly.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.ending import run_program
from talkface_core.errors import InputError
from talkface_core.media.video_reader import VideoReader

SUFFIXES = (".jpg", ".jpeg", ".png")
LARGEST = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--times", type=float, nargs="+", metavar="SECONDS", help="default: five, evenly")
    parser.add_argument("--side", type=int, default=256, help="of a frame in the picture, in pixels (default: 256)")
    args = parser.parse_args()
    if args.picture.suffix.lower() not in SUFFIXES:
        raise InputError(f"{args.picture}: a picture ends in {' or '.join(SUFFIXES)}")
    if not 1 <= args.side <= LARGEST:
        raise InputError(f"--side {args.side}: give 1 to {LARGEST} pixels")
    rows = [row(path, args.times, args.side) for path in args.videos]
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    picture = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    suffix = args.picture.suffix.lower()
    _, coded = cv2.imencode(suffix, picture, [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 88])
    args.picture.write_bytes(coded.tobytes())


def row(path: Path, times: list[float] | None, side: int) -> NDArray[np.uint8]:
    """Frames of a video beside each other, RGB [side, N side, 3], each scaled to `side` whatever its shape."""
    reader = VideoReader(path)
    frames, fps = np.concatenate(list(reader.chunks(64))), float(reader.fps)
    times = times or [(n + 0.5) / 5 * len(frames) / fps for n in range(5)]
    if not 0 <= min(times) <= max(times) < len(frames) / fps:
        raise InputError(f"{path}: {len(frames) / fps:.2f} s; times have to lie within it")
    chosen = [frames[int(time * fps)] for time in times]
    return np.concatenate([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in chosen], 1)


if __name__ == "__main__":
    run_program(main)
