"""The face detector of the library face-alignment (Bulat and Tzimiropoulos, ICCV 2017): S3FD boxes, 2D-FAN points.

The library fetches its weights into torch.hub's folder when it first needs them; here it may only do so when that was
allowed. Its points count from the picture's corner, as ours do.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..pixels import to_bytes
from .align import as_frames
from .face import Detector, Face, best_first

NEEDED = ("s3fd*", "2DFAN4*")
"""The weights, as patterns of file names: the face detector's and the landmark network's."""

THRESHOLD = 0.5
"""The library's own: boxes that score less are not returned by it."""


def missing(download: bool = False) -> str | None:
    """What keeps the library from being used, in words with what to do; None when it can be used."""
    try:
        there = importlib.util.find_spec("face_alignment") is not None
    except ValueError:  # a module without a spec, as one that was put in place by hand
        there = True
    if not there:
        return "the library face-alignment is not installed: pip install face-alignment"
    folder = weights_folder()
    absent = [pattern for pattern in NEEDED if not any(folder.glob(pattern))]
    if absent and not download:
        return f"its weights {', '.join(absent)} are not in {folder}: allow the download, or put them there"
    return None


def weights_folder() -> Path:
    """Where the library looks for its weights and puts them."""
    return Path(torch.hub.get_dir()) / "checkpoints"


class FaceAlignment(Detector):
    """See `Detector`. Raises InputError when the library or its weights cannot be loaded."""

    name = "face-alignment"
    threshold = THRESHOLD

    def __init__(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        try:
            library = importlib.import_module("face_alignment")
            kinds = library.LandmarksType
            # Called _2D until 1.3.
            kind = kinds.TWO_D if hasattr(kinds, "TWO_D") else kinds._2D
            options: dict[str, Any] = {"device": str(device), "dtype": dtype, "flip_input": False}
            if "compile" in inspect.signature(library.FaceAlignment).parameters:
                # Compiling takes longer than a clip, and writes into the user's home.
                options["compile"] = False
            self._reader = library.FaceAlignment(kind, **options)
        except (ImportError, AttributeError, OSError, RuntimeError) as error:
            raise InputError(
                f"face-alignment cannot be loaded ({error}); install it and its weights, or use the detector 'bundled'."
            ) from error

    def detect(self, frames: Any) -> list[list[Face]]:
        """See `Detector.detect`."""
        shape = tuple(frames.shape)
        if len(shape) != 4 or shape[3] != 3:
            raise InputError(f"frames of shape {list(shape)}; give RGB frames [frames, height, width, 3].")
        pictures = to_bytes(as_frames(frames, shape[1:3], shape[0]))
        return [self._faces(np.ascontiguousarray(picture)) for picture in pictures]

    def _faces(self, picture: np.ndarray) -> list[Face]:
        # Boxes first: the library warns, and some versions fail, when they ask for landmarks of none.
        boxes = self._reader.face_detector.detect_from_image(picture)
        boxes = [np.asarray(box, np.float64) for box in boxes if box[-1] >= self.threshold]
        if not boxes:
            return []
        landmarks = self._reader.get_landmarks_from_image(picture, detected_faces=boxes)
        return best_first(
            [Face.of(points[:, :2], float(box[-1])) for points, box in zip(landmarks or [], boxes, strict=False)]
        )
