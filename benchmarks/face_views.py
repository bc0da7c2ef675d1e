"""Still pictures of rendered people in wide poses and with strong expressions, to train the face net on.

    python -m benchmarks.face_views --studio STUDIO --out DIR --people 400 --views 6

STUDIO is the folder of the project's own renderer (numpy, numba, scipy, OpenCV, matplotlib). Each picture is
`<person>_<k>.jpg`, 256 x 256, beside `<person>_<k>.npz` with its truth, as the studio's portraits have it, and with
`mask` [1,256,256] uint8, 255 where the person covers the background. A person that is there already is left alone, so a
run can be stopped and started again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.ending import run_program

SIZE = 256
TOGETHER = {
    "smile": ("mouthSmile", "cheekRaiser", "eyeSquint", "mouthDimple"),
    "open": ("jawOpen", "mouthLowerDown"),
    "cry": ("mouthFrown", "browInnerUp", "mouthShrugLower"),
    "anger": ("browDown", "noseSneer", "mouthPress"),
    "wonder": ("browInnerUp", "browOuterUp", "eyeWide", "jawOpen"),
    "kiss": ("mouthPucker", "mouthFunnel"),
    "teeth": ("mouthUpperUp", "mouthLowerDown", "mouthStretch"),
    "shut": ("eyeBlink",),
    "down": ("eyeLookDown", "eyeBlink"),
    "puff": ("cheekPuff", "mouthPress", "mouthRollLower", "mouthRollUpper"),
}


def expression(names: list[str], rng: np.random.Generator) -> NDArray[np.float32]:
    """Weights [57]: up to three groups that move together, some of them on one side only, and a little of anything."""
    weights = np.where(rng.random(len(names)) < 0.15, rng.uniform(0, 0.3, len(names)), 0.0)
    for group in rng.choice(list(TOGETHER), rng.integers(0, 4), replace=False):
        strength, side = rng.uniform(0.2, 1.0), rng.choice(["", "", "", "_L", "_R"])
        for k, name in enumerate(names):
            if name.split("_")[0] in TOGETHER[group] and (name.endswith(side) or "_" not in name):
                weights[k] = max(weights[k], strength * rng.uniform(0.6, 1.0))
    wide = [k for k, name in enumerate(names) if name == "jawOpen"]
    weights[wide] = np.minimum(weights[wide], 0.7)
    return weights.clip(0, 1).astype(np.float32)


def head_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Yaw to 65, pitch to 35, roll to 20 degrees; half of all heads within 20 degrees of the front."""
    yaw = rng.normal(0, 12) if rng.random() < 0.5 else rng.uniform(-65, 65)
    return np.array([yaw, rng.normal(0, 12), rng.normal(0, 7)]).clip((-65, -35, -20), (65, 35, 20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studio", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--views", type=int, default=6)
    parser.add_argument("--worker", type=int, nargs=2, default=(0, 1), metavar=("I", "N"))
    parser.add_argument("--max-minutes", type=float, default=1e9)
    args = parser.parse_args()
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    sys.path.insert(0, str(args.studio))
    import cv2
    from person import build_person, set_shirt
    from run import truth_arrays
    from scene import Light, Renderer, Scene, background

    args.out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for index in range(args.worker[0], args.people, args.worker[1]):
        last = args.out / f"v{index:04d}_{args.views - 1}.npz"
        if last.is_file():
            continue
        if time.monotonic() - start > 60 * args.max_minutes:
            break
        rng = np.random.default_rng([68, index])
        about = {
            "id": f"v{index:04d}",
            "sex": str(rng.choice(["f", "m"])),
            "age": str(rng.choice(["young", "middle", "old"], p=[0.45, 0.35, 0.2])),
            "skin": str(rng.choice(["light", "medium", "dark"], p=[0.45, 0.3, 0.25])),
            "seed": 680000 + index,
        }
        person = build_person(about)
        for k in range(args.views):
            set_shirt(person, rng.uniform(0.03, 0.5) * (1 + rng.uniform(-0.6, 0.6, 3)), int(rng.integers(1 << 30)))
            frame = float(np.clip(person.face_h / 0.74 / rng.uniform(0.52, 0.72), 24, 36))
            middle = float(person.face_c[1])
            scene = Scene(SIZE, 2, Light(rng), background(rng, SIZE), frame_cm=frame, cx=0.0, cy=middle + 0.9)
            renderer = Renderer(person, scene)
            weights, turn = expression([str(n) for n in person.expr], rng), head_turn(rng)
            renderer.geometry(weights, *turn, (0, 0, 0))
            centre = renderer.V[person.lm].mean(0)
            away = rng.uniform(-0.06, 0.06, 2) * frame
            shift = np.array([away[0] - centre[0], middle + away[1] - centre[1], 0.0])
            picture = renderer.frame(weights, *turn, shift)
            points, points_3d, visible = renderer.truth()
            rows = [(points, points_3d, visible, renderer.local)]
            truth = truth_arrays(rows, person, {"pose": turn[None], "trans": shift[None]}, weights[None])
            stem = args.out / f"v{index:04d}_{k}"
            covered = cv2.resize((renderer.ib >= 0).astype(np.uint8) * 255, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            cv2.imwrite(f"{stem}.jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
            np.savez_compressed(f"{stem}.npz", **truth, mask=covered[None])
    print(f"{len(list(args.out.glob('*.npz')))} pictures in {args.out}")


if __name__ == "__main__":
    run_program(main)
