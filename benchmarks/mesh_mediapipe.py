"""MediaPipe's face mesh of videos and pictures, as a second opinion on where faces are: `<name>.npz` with `mesh`.

MediaPipe is no dependency of TalkFace. Give it an environment of its own (it needs numpy below 2) and run this with it:

    python -m venv mediapipe-env
    mediapipe-env/bin/pip install "mediapipe==0.10.21" "numpy<2"
    mediapipe-env/bin/python benchmarks/mesh_mediapipe.py FILE... --out DIR

`mesh` is float32 [T,478,2] in pixels, NaN where no face was found; `size` is (height, width). `benchmarks/faces.py`
compares it. The mesh's weights come with the package; nothing is downloaded and nothing of TalkFace is imported.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

SMALLEST = 512  # frames are enlarged to this height: the mesh finds small faces poorly


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take each N-th frame (default: 1)")
    arguments = parser.parse_args()
    try:
        import cv2
        import mediapipe
    except ImportError as error:
        print(f"{error.name} is not installed here; see the top of {Path(__file__).name}.", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in arguments.files:
        mesh, size = read(path, arguments.every, cv2, mediapipe)
        np.savez_compressed(arguments.out / f"{path.stem}.npz", mesh=mesh, size=size, every=arguments.every)
        print(f"{path.name}: {len(mesh)} frames, a face in {np.isfinite(mesh[:, 0, 0]).mean():.1%}")
    return 0


def read(path: Path, every: int, cv2, mediapipe) -> tuple[np.ndarray, tuple[int, int]]:
    """The mesh of each frame [T,478,2] and the frames' size."""
    meshes, size = [], (0, 0)
    options = {"max_num_faces": 1, "refine_landmarks": True, "min_detection_confidence": 0.3}
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=every > 1, **options) as mesh:
        for frame in frames(path, every, cv2):
            size = frame.shape[:2]
            picture = frame
            if size[0] < SMALLEST:
                picture = cv2.resize(
                    frame, (round(size[1] * SMALLEST / size[0]), SMALLEST), interpolation=cv2.INTER_CUBIC
                )
            faces = mesh.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).multi_face_landmarks
            points = [(p.x * size[1], p.y * size[0]) for p in faces[0].landmark] if faces else np.full((478, 2), np.nan)
            meshes.append(np.asarray(points, np.float32))
    if not meshes:
        raise SystemExit(f"{path}: holds no frames.")
    return np.stack(meshes), size


def frames(path: Path, every: int, cv2):
    if path.suffix.lower() in {".jpg", ".png"}:
        yield cv2.imread(str(path))
        return
    capture, index = cv2.VideoCapture(str(path)), 0
    while True:
        there, frame = capture.read()
        if not there:
            break
        if index % every == 0:
            yield frame
        index += 1
    capture.release()


if __name__ == "__main__":
    sys.exit(main())
