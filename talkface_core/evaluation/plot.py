"""One clip's evaluation as a picture: faces side by side, and mouth curves over the waveform."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..media.timebase import FPS
from .evaluate import ClipScores

WIDTH, CURVES, FACE = 1200, 300, 200
HEIGHT = CURVES + 2 * FACE
"""Of the picture, pixels."""

_MADE, _REAL, _WAVE, _PAUSE, _INK, _GROUND = (
    *((194, 65, 12), (71, 85, 105), (214, 222, 232), (241, 245, 249)),
    *((100, 116, 139), (255, 255, 255)),
)
_TOP, _BOTTOM = 34, CURVES - 26


def plot(clip: ClipScores) -> NDArray[np.uint8]:
    """The picture [HEIGHT,WIDTH,3]: generated orange, real grey; pauses are shaded, dots are the worst moments."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    drawn, count = np.full((CURVES, WIDTH, 3), _GROUND, np.uint8), clip.frames
    highest = max(float(np.nanmax(clip.openings)), 1.5 * clip.open_from, 1e-6)

    def x(frame: float) -> int:
        return round((WIDTH - 1) * frame / count)

    def y(opening: float) -> int:
        return round(_BOTTOM - (_BOTTOM - _TOP) * opening / highest)

    for frame in range(count):
        left, right = x(frame), x(frame + 1)
        if clip.pauses is not None and clip.pauses[frame]:
            cv2.rectangle(drawn, (left, _TOP), (right, _BOTTOM), _PAUSE, -1)
    if clip.envelope is not None:
        loudest, middle = max(float(np.abs(clip.envelope).max()), 1e-6), (_TOP + _BOTTOM) / 2
        half = (_BOTTOM - _TOP) / 2 / loudest
        for frame, (least, most) in enumerate(clip.envelope.tolist()):
            corners = (x(frame), round(middle - half * most)), (x(frame + 1), round(middle - half * least))
            cv2.rectangle(drawn, *corners, _WAVE, -1)
    for opening, colour in zip(clip.openings[::-1], (_REAL, _MADE), strict=True):
        line = np.array([(x(k + 0.5), y(value)) for k, value in enumerate(opening)], np.int32)
        cv2.polylines(drawn, [line], False, colour, 2, cv2.LINE_AA)
    cv2.line(drawn, (0, y(clip.open_from)), (WIDTH, y(clip.open_from)), _INK, 1)
    for frame in () if clip.closures is None else clip.closures.tolist():
        cv2.line(drawn, (x(frame + 0.5), _BOTTOM), (x(frame + 0.5), _BOTTOM - 10), (0, 0, 0), 2)
    for moment in clip.moments:
        cv2.circle(drawn, (x(moment.frame + 0.5), _TOP - 6), 4, _MADE, -1, cv2.LINE_AA)
    for text, at, colour in (
        ("mouth opening: generated", (10, 20), _MADE),
        ("real", (240, 20), _REAL),
        *((f"{second} s", (x(FPS * second), CURVES - 8), _INK) for second in _seconds(count)),
    ):
        cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
    return np.concatenate([drawn, *(_strip(faces) for faces in clip.strip)])


def _strip(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Faces [n,S,S,3] in a row as wide as the picture."""
    import cv2

    row = np.concatenate([cv2.resize(face, (FACE, FACE), interpolation=cv2.INTER_AREA) for face in faces], 1)
    return np.pad(row, ((0, 0), (0, max(WIDTH - row.shape[1], 0)), (0, 0)), constant_values=255)[:, :WIDTH]


def _seconds(count: int) -> range:
    """Whole seconds that are written, ten at the most."""
    whole = int(count / FPS)
    return range(0, whole + 1, max(-(-whole // 10), 1))
