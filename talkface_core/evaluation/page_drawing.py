"""What pages of measurements are made of: the document in one file, faces as JPEG data, and mouth curves over the
waveform as SVG."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..media.timebase import FPS
from .evaluate import ClipScores

WIDTH, HEIGHT = 1000, 190
_TOP, _BOTTOM = 8, 168  # of the curves, pixels
_MOST_POINTS = 1500
_QUALITY = 85
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

BETTER = {"higher": "higher is better", "lower": "lower is better", "zero": "near 0", "real": "near the real clip's"}
"""A metric's `better` in words."""


def document(title: str, body: str, script: str = "") -> str:
    """A page that needs no other file and may load none. title: plain text; body: HTML; script: runs at the end."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    policy = f"{_POLICY}; script-src 'unsafe-inline'" if script else _POLICY
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{clip_label(title)}</title>
<style>{style}</style>
</head>
<body>
<h1>{clip_label(title)}</h1>
{body}
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def picture(face: NDArray[np.uint8], what: str) -> str:
    """An <img> that holds a face [S,S,3] itself; `what` says what it shows."""
    # OpenCV sets an environment variable when imported, which a host must not see.
    import cv2

    done, data = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise InputError(f"{what}: a picture of shape {face.shape} could not be written as JPEG")
    text = base64.b64encode(data.tobytes()).decode("ascii")
    height, width = face.shape[:2]
    return f'<img src="data:image/jpeg;base64,{text}" alt="{what}" width="{width}" height="{height}">'


def curves(clip: ClipScores) -> str:
    """The openings of both mouths over the waveform; pauses shaded, p, b and m below, the worst moments above."""
    count = clip.frames
    highest = max(float(np.nanmax(clip.openings)), 1.5 * clip.open_from, 1e-6)

    def x(frame: float) -> float:
        return WIDTH * frame / count

    def y(opening: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * opening / highest

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="mouth openings of {clip_label(clip.name)}">']
    if clip.pauses is not None:
        for start, stop in _stretches(clip.pauses):
            width = x(stop) - x(start)
            parts.append(f'<rect class="pause" x="{x(start):.1f}" y="0" width="{width:.1f}" height="{_BOTTOM}"/>')
    if clip.envelope is not None:
        loudest = max(float(np.abs(clip.envelope).max()), 1e-6)
        middle, half = (_TOP + _BOTTOM) / 2, (_BOTTOM - _TOP) / 2
        least, most = _thinned(clip.envelope[:, 0]), _thinned(clip.envelope[:, 1])
        above = [(WIDTH * (k + 0.5) / len(most), middle - half * v / loudest) for k, v in enumerate(most)]
        below = [(WIDTH * (k + 0.5) / len(least), middle - half * v / loudest) for k, v in enumerate(least)]
        parts.append(f'<polygon class="wave" points="{_points([*above, *below[::-1]])}"/>')
    limit = y(clip.open_from)
    parts.append(f'<line class="limit" x1="0" x2="{WIDTH}" y1="{limit:.1f}" y2="{limit:.1f}"/>')
    for side, kind in ((1, "real"), (0, "made")):
        track = _thinned(clip.openings[side])
        line = [(WIDTH * (k + 0.5) / len(track), y(v)) for k, v in enumerate(track)]
        parts.append(f'<polyline class="curve {kind}" points="{_points(line)}"/>')
    for frame in () if clip.closures is None else clip.closures.tolist():
        at = x(frame + 0.5)
        parts.append(f'<line class="closure" x1="{at:.1f}" x2="{at:.1f}" y1="{_BOTTOM}" y2="{_BOTTOM - 8}"/>')
    for moment in clip.moments:
        parts.append(f'<circle class="moment" cx="{x(moment.frame + 0.5):.1f}" cy="4" r="3"/>')
    parts += [f'<text x="{x(FPS * s):.1f}" y="{HEIGHT - 6}">{s:g} s</text>' for s in _seconds(count)]
    return "".join([*parts, "</svg>"])


def clip_label(name: str) -> str:
    """A file's name as text and attributes of a page may hold it."""
    return html.escape(name)


def _points(line: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in line)


def _thinned(track: NDArray[np.floating]) -> list[float]:
    """A track of any length as `_MOST_POINTS` means at the most."""
    if len(track) <= _MOST_POINTS:
        return track.tolist()
    edges = np.linspace(0, len(track), _MOST_POINTS + 1).astype(int)
    return [float(track[a:b].mean()) for a, b in pairwise(edges.tolist())]


def _stretches(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Begin and end of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _seconds(count: int) -> list[float]:
    """Times that are written below a clip of so many frames: ten at the most."""
    seconds = count / FPS
    step = next(s for s in (0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600, 36000) if seconds / s <= 10 or s == 36000)
    return [k * step for k in range(int(seconds / step) + 1) if k * step * FPS < count * 0.97]
