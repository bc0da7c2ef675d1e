"""How well and how fast the face detectors do: against the studio's truth, against each other on real clips, in time.

    python -m benchmarks.faces --truth crowd/val portraits/val [--real FILE…] [--mesh DIR] [--json OUT.json]

`--truth`: folders of pictures or clips with npz beside them (each 10th frame is taken). `--real`: clips or pictures
without truth. `--mesh`: MediaPipe's meshes of any of these, written by `benchmarks/mesh_mediapipe.py`, under the same
names. Errors are mean distances of the 68 points by the distance of the eyes' outer corners (normalised mean error).
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ending import files_in, run_program
from talkface_core.arrays import read_npz
from talkface_core.errors import InputError
from talkface_core.faces.detect import find_detector
from talkface_core.faces.external_landmarks import to_ibug
from talkface_core.faces.face import Detector, Face
from talkface_core.faces.landmarks import OUTER_EYE_CORNERS, inner_lip_gap
from talkface_core.faces.solve_pose import solve
from talkface_core.faces.tracking import track_faces
from talkface_core.media.video_reader import VideoReader

EVERY = 10
SMALL = 40
"""Height of a small face in pixels: the smallest that has to be found."""

Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--real", type=Path, nargs="+", default=[], metavar="FILE")
    parser.add_argument("--mesh", type=Path, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--json", type=Path, metavar="OUT.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    detectors = available()
    report = {
        "detectors": [detector.name for detector in detectors],
        "truth": [row for detector in detectors for folder in args.truth for row in against_truth(detector, folder)]
        + [row for folder in args.truth for row in mesh_against_truth(folder, args.mesh)],
        "real": [row for path in args.real for row in on_real(detectors, path, args.mesh)],
        "speed": [row for detector in detectors for row in speed(detector)],
        "machine": f"{platform.machine()}, {args.threads} threads, torch {torch.__version__}",
    }
    for name in ("truth", "real", "speed"):
        if report[name]:
            print(f"\n{table(report[name])}")
    if args.json:
        kept = {**report, "rows": wanted(report["truth"])}
        args.json.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def wanted(truth: Rows) -> Rows:
    """The bundled detector's measures that have a target, as `benchmarks/bundle.py` reads them."""
    return [
        {"section": row["pictures"], "measure": measure, "value": row[measure], "target": f"<= {most}"}
        for row in truth
        if row["detector"] == "bundled"
        for measure, most in {"NME %": 4, **{f"{axis} solvePnP": 4 for axis in AXES}}.items()
    ]


def available() -> list[Detector]:
    """The bundled detector, and face-alignment where it can be had."""
    detectors = [find_detector("bundled")]
    try:
        detectors.append(find_detector("face-alignment"))
    except InputError as error:
        print(error)
    return detectors


def samples(folder: Path) -> Iterator[tuple[str, int, NDArray[np.uint8], dict[str, NDArray[np.floating]]]]:
    """File, frame, picture and truth of each frame that is taken."""
    for path in files_in(folder, ".npz"):
        stored = read_npz(path, "landmarks", "pose", "mouth_open")
        truth = {key: values.astype(np.float64) for key, values in stored.items()}
        still = path.with_suffix(".jpg")
        if still.is_file():
            pictures = [(0, cv2.cvtColor(cv2.imread(str(still)), cv2.COLOR_BGR2RGB))]
        else:
            every = (frame for chunk in VideoReader(path.with_suffix(".mp4")).chunks(32) for frame in chunk)
            pictures = [(k, frame) for k, frame in enumerate(every) if k % EVERY == 0]
        for k, picture in pictures:
            yield path.stem, k, picture, {key: values[k] for key, values in truth.items()}


def against_truth(detector: Detector, folder: Path) -> Rows:
    """Errors on the pictures as they are, and on them made so small that the face is `SMALL` pixels high."""
    taken = list(samples(folder))
    rows = []
    for what in ("as they are", f"face {SMALL} px high"):
        errors, turns, solved, opened, missed = [], [], [], [], 0
        for _, _, picture, truth in taken:
            points, scale = truth["landmarks"], 1.0
            if what != "as they are":
                scale = SMALL / np.ptp(points[:, 1])
                picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
                scale = picture.shape[0] / 256
            face = nearest(detector.detect(picture[None])[0], points * scale)
            if face is None:
                missed += 1
                continue
            landmarks = face.landmarks.double().numpy()
            errors.append(nme(landmarks, points * scale))
            solved.append(np.abs(solve(landmarks, picture.shape[:2]) - truth["pose"]))
            opened.append((opening(landmarks), truth["mouth_open"]))
            if face.pose is not None:
                turns.append(np.abs(face.pose.numpy() - truth["pose"]))
        row = {"detector": detector.name, "pictures": f"{name_of(folder)}, {what}", "frames": len(taken)}
        row |= {"missed": missed, **summary(errors)}
        row |= {f"{axis} solvePnP": round(float(v), 2) for axis, v in zip(AXES, np.mean(solved, 0), strict=True)}
        row["95 % within"] = round(float(np.percentile(np.max(solved, 1), 95)), 2)
        if turns:
            row |= {f"{axis} net": round(float(v), 2) for axis, v in zip(AXES, np.mean(turns, 0), strict=True)}
        row["opening r"] = correlation(*zip(*opened, strict=True))
        rows.append(row)
    exact = np.mean([np.abs(solve(t["landmarks"], p.shape[:2]) - t["pose"]) for _, _, p, t in taken], 0)
    named = {f"{axis} solvePnP": round(float(v), 2) for axis, v in zip(AXES, exact, strict=True)}
    if detector.name == "bundled":
        rows.append({"detector": "the truth's own points", "pictures": name_of(folder), "frames": len(taken), **named})
    return rows


AXES = ("yaw", "pitch", "roll")


def mesh_against_truth(folder: Path, meshes: Path | None) -> Rows:
    """MediaPipe's mesh, taken to 68 points, against the truth."""
    errors, opened = [], []
    for path in sorted(folder.glob("*.npz")) if meshes else []:
        mesh = mesh_of(path, meshes)
        if mesh is None:
            continue
        with np.load(path, allow_pickle=False) as file:
            truth, mouths = file["landmarks"].astype(np.float64), file["mouth_open"].astype(np.float64)
        for k in range(0, len(truth), EVERY):
            if k in mesh:
                errors.append(nme(mesh[k], truth[k]))
                opened.append((opening(mesh[k]), mouths[k]))
    if not errors:
        return []
    row = {"detector": "MediaPipe, 68 points", "pictures": name_of(folder), "frames": len(errors), **summary(errors)}
    return [row | {"opening r": correlation(*zip(*opened, strict=True))}]


def mesh_of(path: Path, meshes: Path | None) -> dict[int, NDArray[np.float64]] | None:
    """The 68 points by frame, where a face was found, of the mesh that belongs to a file."""
    source = meshes / f"{path.stem}.npz" if meshes else None
    if source is None or not source.is_file():
        return None
    with np.load(source, allow_pickle=False) as file:
        mesh, every = file["mesh"].astype(np.float64), int(file["every"])
    return {k * every: to_ibug(points) for k, points in enumerate(mesh) if np.isfinite(points[0, 0])}


def on_real(detectors: list[Detector], path: Path, meshes: Path | None) -> Rows:
    """The bundled detector's track of a clip, and beside it the other opinions on it, if there are any."""
    still = path.suffix.lower() in {".jpg", ".png"}
    reader = None if still else VideoReader(path)
    tracks, seconds = {}, {}
    for detector in detectors:
        start = time.perf_counter()
        try:
            chunks = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)[None]] if still else reader.chunks(32)
            tracks[detector.name] = track_faces(chunks, 25 if still else reader.fps, detector, smoothing=0)
        except InputError as error:
            print(f"{path.name}: {error}")
        seconds[detector.name] = time.perf_counter() - start
    opinions = {name: dict(enumerate(t.landmarks.double().numpy())) for name, t in tracks.items()}
    mesh = mesh_of(path, meshes)
    if mesh:
        opinions["MediaPipe, 68 points"] = mesh
    rows = []
    own = opinions.pop("bundled", None)
    if own and not opinions:
        rows.append({"clip": path.name, "frames": len(own), "held": tracks["bundled"].interpolated})
        rows[-1] |= {"jitter": jitter(own, list(own)), "frames/s": round(len(own) / seconds["bundled"], 1)}
    for name, other in opinions.items() if own else ():
        both = sorted(own.keys() & other.keys())
        errors = [nme(own[k], other[k]) for k in both]
        row = {"clip": path.name, "frames": len(own), "held": tracks["bundled"].interpolated, "beside": name}
        row |= {**summary(errors), "pixels": round(float(np.mean([dist(own[k], other[k]) for k in both])), 2)}
        row["opening r"] = correlation([opening(own[k]) for k in both], [opening(other[k]) for k in both])
        row["jitter"] = jitter(own, both)
        row["its jitter"] = jitter(other, both)
        row["frames/s"] = round(len(own) / seconds["bundled"], 1)
        rows.append(row)
    return rows


def speed(detector: Detector) -> Rows:
    """Milliseconds per frame to detect and, where it can, to follow, at three sizes of picture."""
    rows = []
    sample = VideoReader(Path(__file__).parents[1] / "tests" / "fixtures" / "ada_talks.mp4")
    frame = next(iter(sample.chunks(1)))[0]
    for height, width in ((360, 640), (720, 1280), (1080, 1920)):
        picture = np.zeros((height, width, 3), np.uint8)
        side = height * 3 // 4
        picture[:side, :side] = cv2.resize(frame, (side, side), interpolation=cv2.INTER_CUBIC)
        frames = np.stack([picture] * 16)
        row: dict[str, Any] = {"detector": detector.name, "picture": f"{width}x{height}"}
        row["detect ms"] = milliseconds(lambda frames=frames: detector.detect(frames[:4]), 4)
        faces = detector.detect(frames[:1])[0]
        if hasattr(detector, "follow") and faces:
            row["follow ms"] = milliseconds(
                lambda frames=frames, faces=faces: detector.follow(frames, faces[0].landmarks), len(frames)
            )
        rows.append(row)
    return rows


def milliseconds(work: Any, frames: int, repeats: int = 4) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return round(1000 * min(times) / frames, 1)


def nearest(faces: list[Face], points: NDArray[np.float64]) -> Face | None:
    """The face that lies where the true one does, if any does."""
    size = np.ptp(points[:, 1])
    close = [(float(np.linalg.norm(f.landmarks.numpy().mean(0) - points.mean(0))), f) for f in faces]
    distance, face = min(close, key=lambda pair: pair[0], default=(np.inf, None))
    return face if distance < 0.5 * size else None


def dist(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean())


def nme(predicted: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    return dist(predicted, true) / eye_corners(true)


def eye_corners(points: NDArray[np.float64]) -> float:
    """Distance of the outer corners of the eyes."""
    right, left = OUTER_EYE_CORNERS
    return float(np.linalg.norm(points[left] - points[right]))


def opening(points: NDArray[np.float64]) -> float:
    """Gap of the inner lips by the distance of the eyes' outer corners."""
    return float(inner_lip_gap(points)) / eye_corners(points)


def jitter(points: dict[int, NDArray[np.float64]], frames: list[int]) -> float | None:
    """Mean second difference over time of the points by the eyes' distance, in per mille; None for too few frames."""
    runs = [k for k in frames if k - 1 in points and k + 1 in points]
    if not runs:
        return None
    seconds = [dist(points[k - 1] + points[k + 1], 2 * points[k]) / eye_corners(points[k]) for k in runs]
    return round(1000 * float(np.mean(seconds)), 2)


def correlation(a: Any, b: Any) -> float | None:
    a, b = np.asarray(a), np.asarray(b)
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return round(float(np.corrcoef(a, b)[0, 1]), 3)


def summary(errors: list[float]) -> dict[str, Any]:
    if not errors:
        return {"NME %": None, "worst tenth %": None}
    ordered = np.sort(errors)
    tail = ordered[-max(len(ordered) // 10, 1) :]
    return {"NME %": round(100 * float(ordered.mean()), 2), "worst tenth %": round(100 * float(tail.mean()), 2)}


def name_of(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def table(rows: Rows) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [["" if row.get(key) is None else str(row[key]) for key in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    run_program(main)
