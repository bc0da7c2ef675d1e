"""A second opinion on mouths: MediaPipe's face mesh reads generated and real clips, and their openings are compared.

MediaPipe is no dependency of TalkFace. Give it an environment of its own (it needs numpy below 2) and run this with it:

    python -m venv mediapipe-env
    mediapipe-env/bin/pip install "mediapipe==0.10.21" "numpy<2"
    mediapipe-env/bin/python benchmarks/second_opinion_mediapipe.py GENERATED REAL

GENERATED and REAL are two mp4 files, or two folders whose clips have the same names. A `<clip>.npz` beside a real clip
(with `mouth_open` for each frame) is compared too. Prints one JSON object: for each clip and as means over clips the
Pearson correlations generated~real, generated~truth and real~truth, and the share of frames with a face.
The mesh is bundled with the package; nothing is downloaded and nothing of TalkFace is imported.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np

LIP_PAIRS = ((81, 178), (13, 14), (311, 402))  # inner upper and lower lip: right, middle, left
FOREHEAD, NOSE_BASE = 10, 2  # no expression moves these much, so their distance is the scale


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("generated", type=Path, help="an mp4 file, or a folder of them")
    parser.add_argument("real", type=Path, help="the same clip, or a folder with the same names")
    parser.add_argument("--size", type=int, default=256, help="frames are enlarged to this height (default: 256)")
    arguments = parser.parse_args()
    try:
        import cv2
        import mediapipe
    except ImportError as error:
        print(f"{error.name} is not installed here; see the top of {Path(__file__).name}.", file=sys.stderr)
        return 2
    try:
        pairs = clip_pairs(arguments.generated, arguments.real)
        clips = {real.stem: compare(generated, real, arguments.size, cv2, mediapipe) for generated, real in pairs}
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    keys = dict.fromkeys(key for clip in clips.values() for key in clip)
    means = {key: mean(clip[key] for clip in clips.values() if clip.get(key) is not None) for key in keys}
    about = {"instrument": f"mediapipe {mediapipe.__version__} face mesh", "mean": means, "clips": clips}
    print(json.dumps(about, indent=2, allow_nan=False))
    return 0


def clip_pairs(generated: Path, real: Path) -> list[tuple[Path, Path]]:
    """The clips to compare. Raises ValueError where there are none."""
    if generated.is_file() and real.is_file():
        return [(generated, real)]
    if not (generated.is_dir() and real.is_dir()):
        raise ValueError(f"{generated} and {real}: give two mp4 files or two folders.")
    pairs = [(clip, real / clip.name) for clip in sorted(generated.glob("*.mp4")) if (real / clip.name).is_file()]
    if not pairs:
        raise ValueError(f"{generated} and {real} share no clip of one name.")
    return pairs


def compare(generated: Path, real: Path, size: int, cv2, mediapipe) -> dict[str, float | None]:
    """Correlations and shares of found faces of one pair of clips."""
    generated_openings, real_openings = (openings(path, size, cv2, mediapipe) for path in (generated, real))
    result = {
        "frames": min(len(generated_openings), len(real_openings)),
        "faces_generated": float(np.isfinite(generated_openings).mean()),
        "faces_real": float(np.isfinite(real_openings).mean()),
        "generated_real": correlation(generated_openings, real_openings),
    }
    truth_file = real.with_suffix(".npz")
    if truth_file.is_file():
        with np.load(truth_file, allow_pickle=False) as file:
            truth = file["mouth_open"].astype(np.float64)
        result["generated_truth"] = correlation(generated_openings, truth)
        result["real_truth"] = correlation(real_openings, truth)
    return result


def openings(path: Path, size: int, cv2, mediapipe) -> np.ndarray:
    """Mouth opening of each frame [T] by the upper face's height; NaN where no face is found."""
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError(f"{path}: cannot be opened as a video.")
    values = []
    options = {"max_num_faces": 1, "refine_landmarks": True, "min_detection_confidence": 0.3}
    with mediapipe.solutions.face_mesh.FaceMesh(**options) as mesh:
        while True:
            there, frame = capture.read()
            if not there:
                break
            if frame.shape[0] < size:
                width = round(frame.shape[1] * size / frame.shape[0])
                frame = cv2.resize(frame, (width, size), interpolation=cv2.INTER_CUBIC)
            faces = mesh.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).multi_face_landmarks
            values.append(opening(faces[0].landmark, frame.shape) if faces else math.nan)
    capture.release()
    if not values:
        raise ValueError(f"{path}: holds no frames.")
    return np.array(values)


def opening(landmarks, shape: tuple[int, ...]) -> float:
    def point(index: int) -> np.ndarray:
        return np.array([landmarks[index].x * shape[1], landmarks[index].y * shape[0]])

    gap = np.mean([np.linalg.norm(point(upper) - point(lower)) for upper, lower in LIP_PAIRS])
    return float(gap / np.linalg.norm(point(FOREHEAD) - point(NOSE_BASE)))


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson over the common frames in which both are known; None where it is not defined."""
    length = min(len(a), len(b))
    a, b = a[:length], b[:length]
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 2 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return None
    return float(np.corrcoef(a[known], b[known])[0, 1])


def mean(values) -> float | None:
    values = list(values)
    return float(np.mean(values)) if values else None


if __name__ == "__main__":
    sys.exit(main())
