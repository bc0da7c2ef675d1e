"""Reads a picture file that the user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def read_picture(path: str | Path, what: str = "picture") -> NDArray[np.uint8]:
    """RGB [H,W,3] of a .png, .jpg or the like, upright as viewers show it. Raises InputError that calls it `what`."""
    # OpenCV sets an environment variable when imported.
    import cv2

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{what} {path} does not exist; check the name and the folder")
    coded = np.fromfile(path, np.uint8)
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR) if len(coded) else None
    if picture is None:
        raise InputError(f"{what} {path} cannot be read; give a whole .png or .jpg")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
