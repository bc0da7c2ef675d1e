"""Who a face is like: the vectors of SFace (Zhong et al. 2021), by OpenCV's own reader of its public file.

The file is opencv_zoo's (Apache-2.0). Faces are laid as OpenCV lays them, by a similarity of five points onto ArcFace's
template of 112 px; here the points are our track's.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.landmarks import LEFT_EYE, MOUTH_CORNERS, NOSE_TIP, RIGHT_EYE
from ..foreign import refuse
from .footage import Footage, first_frames

FILE = "face_recognition_sface_2021dec.onnx"
EXPECTED = f"OpenCV's SFace ({FILE})"
SIDE, VECTOR = 112, 128

SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
"""Of the published file. OpenCV's reader of ONNX dies of spoilt files, so it is shown no other."""


def is_onnx(path: Path) -> bool:
    """Whether a file begins as ONNX does, with a version, and not as safetensors."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(9)
    return start[:1] == b"\x08" and start[8:] != b"{"


def check_published(path: Path) -> None:
    """Raises InputError for any file but the published one."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    if (found := digest.hexdigest()) != SHA256:
        refuse(path, f"an ONNX file of sha256 {found[:12]}…", f"{EXPECTED} as published, {SHA256[:12]}…; fetch it anew")


def load_sface(path: Path) -> Callable[[Footage], Tensor]:
    """The unit vectors [T,128] of the face in each frame of a clip, on the CPU. Raises InputError for another file and
    for an OpenCV that is too old."""
    net = _read(path)
    lock = threading.Lock()  # OpenCV's networks hold the picture they are at

    def vectors(clip: Footage) -> Tensor:
        points = five_points(clip)
        found, done = np.empty((len(clip), VECTOR), np.float32), 0
        for chunk in first_frames(clip.frames(), len(clip)):
            for frame in chunk:
                with lock:
                    found[done] = net.feature(aligned(net, frame, points[done]))[0]
                done += 1
        return torch.nn.functional.normalize(torch.from_numpy(found), dim=1)

    return vectors


def five_points(clip: Footage) -> NDArray[np.float32]:
    """Middles of both eyes, tip of the nose, corners of the mouth [T,5,2], pixels of the frame, the left one first."""
    track = clip.track.landmarks.numpy()
    eyes = [track[:, eye].mean(1) for eye in (RIGHT_EYE, LEFT_EYE)]
    return np.stack([*eyes, *(track[:, point] for point in (NOSE_TIP, *MOUTH_CORNERS))], 1).astype(np.float32)


def aligned(net: Any, frame: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A face [112,112,3], BGR, out of a frame [H,W,3], RGB, laid by OpenCV through its five points [5,2]."""
    # A detection as OpenCV gives it: a box, which is not looked at, the points, a score. It counts from the
    # middle of the first pixel, we from its corner.
    face = np.concatenate([np.zeros(4), points.ravel() - 0.5, np.ones(1)]).astype(np.float32)[None]
    return net.alignCrop(np.ascontiguousarray(frame[:, :, ::-1]), face)


def _read(path: Path) -> Any:
    # Imported, it sets an environment variable, which a host must not see.
    import cv2

    if not hasattr(cv2, "FaceRecognizerSF"):
        raise InputError(
            f"OpenCV {cv2.__version__} reads no SFace; install 4.5.4 or newer: pip install -U opencv-python"
        )
    check_published(path)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it tells of targets that nobody asked for
    try:
        return cv2.FaceRecognizerSF.create(str(path), "")
    finally:
        cv2.utils.logging.setLogLevel(level)
