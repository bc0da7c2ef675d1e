"""Photographs with machine-made labels, as the folders that the recipe `faces` and `benchmarks.faces` read.

    python -m benchmarks.face_stills --index real_faces/index.json --out SET/real_faces [--side 512 --tier high]

The index is a list of pictures: `id`, `split`, `landmarks` [68,2] in pixels of the picture at 256 x 256, `pose` [3] in
degrees, `mouth_gap`, and `file256`, or else `file512`, beside the index. Each becomes `OUT/<split>/<id>.jpg` with its
`.npz`. Labels follow what can be seen: the jaw under a beard or hair is guessed, so it counts `--jaw` in training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from benchmarks.ending import run_program
from talkface_core.errors import InputError
from talkface_core.faces.landmarks import JAW, POINTS

SIZE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=SIZE, help=f"of the pictures, in pixels (default: {SIZE})")
    parser.add_argument("--tier", help="only the pictures of this `tier`")
    parser.add_argument("--jaw", type=float, default=0.3, help="weight of the jaw's labels, 0 to 1 (default: 0.3)")
    args = parser.parse_args()
    weights = np.ones(POINTS, np.float32)
    weights[JAW] = args.jaw
    try:
        rows = json.loads(args.index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{args.index}: no JSON ({error})") from error
    rows = [row for row in rows if args.tier in (None, row["tier"])]
    for row in rows:
        folder = args.out / row["split"]
        folder.mkdir(parents=True, exist_ok=True)
        file = (row["file512"] if args.side > SIZE else None) or row["file256"] or row["file512"]
        picture = cv2.imread(str(args.index.parent / file))
        picture = cv2.resize(picture, (args.side, args.side), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{row['id']}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        np.savez_compressed(
            folder / f"{row['id']}.npz",
            landmarks=np.array(row["landmarks"], np.float32)[None] * (args.side / SIZE),
            pose=np.array(row["pose"], np.float32)[None],
            mouth_open=np.array(row["mouth_gap"], np.float32)[None],
            landmark_weights=weights,
        )
    print(f"{len(rows)} pictures in {args.out}")


if __name__ == "__main__":
    run_program(main)
