"""How well the certainty of the lips tells faces that the landmark net knows from mouths that are hidden.

    python -m benchmarks.face_certainty --truth crowd/val real_faces/val [--pictures FILE…] [--json OUT.json]

`--truth`: folders as for `benchmarks.faces`. Each face is read as it is, `SMALL` pixels high, behind a mask and behind
a hand, both drawn over it. `--pictures`: others, whose faces' certainty is told one by one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ending import run_program
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.landmarks import CHIN, JAW, MOUTH, NOSE_BRIDGE, NOSE_TIP
from talkface_core.faces.readable import HOPELESS, KNOWN
from talkface_core.media.picture import read_picture

from .faces import SMALL, Rows, eye_corners, name_of, samples, table

Picture = NDArray[np.uint8]
Points = NDArray[np.floating]

MASKS = ((200, 220, 235), (235, 235, 240), (30, 30, 35), (120, 160, 200))
"""Colours of medical and other masks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="OUT.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    detector = load_bundled()
    found = {name_of(folder): certainties(detector, folder) for folder in args.truth}
    rows = [row for name, kinds in found.items() for row in separation(name, kinds)]
    if len(found) > 1:
        together = {
            kind: np.concatenate([kinds[kind] for kinds in found.values()]) for kind in next(iter(found.values()))
        }
        rows += separation("all", together)
    pictures = [row for path in args.pictures for row in of_picture(detector, path)]
    for part in (rows, pictures):
        if part:
            print(f"\n{table(part)}")
    if args.json:
        args.json.write_text(json.dumps({"truth": rows, "pictures": pictures}, indent=2) + "\n", encoding="utf-8")


def certainties(detector: BundledDetector, folder: Path) -> dict[str, NDArray[np.float64]]:
    """The certainty of each face of a folder as it is, small, behind a mask and behind a hand."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"as they are": [], f"face {SMALL} px high": [], "mask": [], "hand": []}
    for _, _, picture, truth in samples(folder):
        points = truth["landmarks"]
        scale = SMALL / np.ptp(points[:, 1])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        looks = ((picture, points), (small, points * len(small) / len(picture)))
        looks += ((masked(picture, points, rng), points), (behind_hand(picture, points, rng), points))
        for values, (look, place) in zip(found.values(), looks, strict=True):
            values.append(detector.follow(look[None], torch.from_numpy(place))[0].certainty)
    return {kind: np.array(values) for kind, values in found.items()}


def separation(name: str, kinds: dict[str, NDArray[np.float64]]) -> Rows:
    """For each kind of picture: certainty, the share below both limits, and the area under the ROC curve beside the
    faces as they are."""
    known = kinds["as they are"]
    rows = []
    for kind, values in kinds.items():
        row = {"pictures": name, "kind": kind, "faces": len(values), "median": round(float(np.median(values)), 3)}
        row |= {f"{p} %": round(float(np.percentile(values, p)), 3) for p in (1, 99)}
        row |= {f"below {limit:g}, %": round(100 * float((values < limit).mean()), 1) for limit in (KNOWN, HOPELESS)}
        row["AUC"] = None if values is known else round(float((known[:, None] > values[None]).mean()), 3)
        rows.append(row)
    return rows


def of_picture(detector: BundledDetector, path: Path) -> Rows:
    """The faces found in a picture, or one row that says that none was."""
    picture = read_picture(path)
    faces = detector.detect(picture[None])[0]
    rows = [
        {"picture": path.stem, "score": round(face.score, 3), "certainty": round(face.certainty, 3), "yaw": yaw}
        for face in faces
        for yaw in [round(float(face.pose[0]))]
    ]
    return rows or [{"picture": path.stem, "score": None}]


def masked(picture: Picture, points: Points, rng: np.random.Generator) -> Picture:
    """A mask from the bridge or the tip of the nose to below the chin, with folds."""
    out, unit = picture.copy(), eye_corners(points)
    high = rng.random() < 0.5
    first = 1 if high else 2
    nose = points[NOSE_BRIDGE][1] if high else points[NOSE_TIP - 1]
    jaw = points[JAW][first : JAW.stop - first]
    below = jaw + np.array([0, 0.05 * unit]) * np.sin(np.linspace(0, np.pi, len(jaw)))[:, None]
    paint = MASKS[int(rng.integers(len(MASKS)))]
    cv2.fillPoly(out, [np.concatenate([below, nose[None]]).astype(np.int32)], paint, cv2.LINE_AA)
    for k in range(3, CHIN - 1):
        ends = (tuple(int(v) for v in points[n]) for n in (k, JAW.stop - 1 - k))
        cv2.line(out, *ends, [0.85 * value for value in paint], 1, cv2.LINE_AA)
    return out


def behind_hand(picture: Picture, points: Points, rng: np.random.Generator) -> Picture:
    """Four fingers across the mouth, from below or from one side, of the colour of the cheeks."""
    out, unit = picture.copy(), eye_corners(points)
    places = (points[29], (points[1] + points[29]) / 2, (points[15] + points[29]) / 2)
    low, high = np.zeros(2, int), np.array(picture.shape[1::-1]) - 1
    skin = np.mean([picture[y, x] for x, y in (place.astype(int).clip(low, high) for place in places)], 0)
    skin, mouth = skin * rng.uniform(0.75, 1.1), points[MOUTH].mean(0)
    lean = rng.uniform(-0.5, 0.5) + (0 if rng.random() < 0.5 else rng.choice([-1.25, 1.25]))
    along = np.array([np.sin(lean), -np.cos(lean)])
    across, wide = np.array([along[1], -along[0]]), unit * rng.uniform(0.17, 0.22)
    for finger in range(4):
        middle = mouth + (finger - 1.5) * wide * across
        ends = (middle - 1.2 * unit * along, middle + unit * rng.uniform(0.25, 0.45) * along)
        a, b = (tuple(int(v) for v in end) for end in ends)
        tone = (skin * rng.uniform(0.93, 1.02)).clip(0, 255)
        for share, thick in ((0.72, 1.0), (1.0, 0.86)):
            cv2.line(out, a, b, (share * tone).tolist(), max(round(thick * wide), 1), cv2.LINE_AA)
    return out


if __name__ == "__main__":
    run_program(main)
