"""Contact sheets: of each clip the first, the middle and the last frame with the landmarks drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..atomic import whole_file
from ..errors import InputError

Picture = NDArray[np.uint8]

SIDE = 160
"""Of a frame on the sheet, pixels."""

ACROSS, DOWN = 4, 12
"""Clips on a page."""

_CAPTION = 16
TILE = (SIDE + _CAPTION, 3 * SIDE)
"""Height and width of a clip on the sheet, pixels."""

_POINT, _INTERPOLATED_POINT, _INK, _PAPER = (90, 255, 120), (255, 90, 90), (235, 235, 235), (24, 24, 24)


def landmark_thumbnail(frame: Picture, points: NDArray[np.floating], visible: bool) -> Picture:
    """A frame [S,S,3] with its landmarks [68,2] (pixels): green where the face was seen, red where it is bridged."""
    import cv2

    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for x, y in points * (SIDE / len(frame)):
        cv2.circle(
            small, (round(float(x) - 0.5), round(float(y) - 0.5)), 1, _POINT if visible else _INTERPOLATED_POINT, -1
        )
    return small


def tile(thumbnails: Sequence[Picture], caption: str) -> Picture:
    """Three thumbnails above a line of text."""
    import cv2

    out = np.full((*TILE, 3), _PAPER, np.uint8)
    for n, picture in enumerate(thumbnails[:3]):
        out[:SIDE, n * SIDE : (n + 1) * SIDE] = picture
    text = caption.encode("ascii", "replace").decode()
    cv2.putText(out, text, (3, SIDE + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, _INK, 1, cv2.LINE_AA)
    return out


def save_tiles(path: Path, tiles: Sequence[Picture], across: int = 1) -> None:
    """Write tiles as one JPEG, `across` in a row."""
    import cv2

    blank = np.full((*TILE, 3), _PAPER, np.uint8)
    filled = [*tiles, *[blank] * (-len(tiles) % across)]
    rows = [np.concatenate(filled[k : k + across], axis=1) for k in range(0, len(filled), across)]
    coded, data = cv2.imencode(".jpg", np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not coded:
        raise InputError(f"{path}: the contact sheet of {len(tiles)} clips could not be coded.")
    with whole_file(path) as part:
        part.write_bytes(data.tobytes())


def load_tiles(path: Path) -> list[Picture]:
    """The tiles that `save_tiles` wrote one below the other."""
    import cv2

    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or picture.shape[1] != TILE[1] or len(picture) % TILE[0]:
        raise InputError(f"{path} is no contact sheet of clips; delete it and prepare that film again.")
    return list(picture[..., ::-1].reshape(-1, *TILE, 3))


def write_pages(folder: Path, strips: Sequence[Path]) -> list[Path]:
    """All strips of films as pages `contact_sheet.jpg`, `contact_sheet_2.jpg` and so on; older pages go."""
    pages: list[Path] = []
    pending: list[Picture] = []
    for n, strip in enumerate(strips):
        pending += load_tiles(strip)
        while len(pending) >= ACROSS * DOWN or (pending and n == len(strips) - 1):
            number = len(pages) + 1
            pages.append(folder / ("contact_sheet.jpg" if number == 1 else f"contact_sheet_{number}.jpg"))
            save_tiles(pages[-1], pending[: ACROSS * DOWN], ACROSS)
            pending = pending[ACROSS * DOWN :]
    for old in set(folder.glob("contact_sheet*.jpg")) - set(pages):
        old.unlink()
    return pages
