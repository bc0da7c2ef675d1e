"""Pictures out of files, still or moving: what a file is, its content says, not its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from .container import regular_file
from .frame_rate import STILL_RATE, fitting_rate, frames_before
from .picture_size import LARGEST, check_size, picture_size
from .playback import FrameSource, TensorFrameSource, VideoFrameSource
from .video_reader import VideoReader

_MOST = 2**30  # pixels of all pictures of an animation
_HEADER = 2**16
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif")
_MAY_BE_TRANSPARENT = ("png", "apng", "webp", "tiff")
_WHITE = 255


def open_film(path: str | Path) -> FrameSource:
    """A film file; a picture as a film of one frame, a moving picture as the film that it is. Raises InputError."""
    path = regular_file(path, "video")
    kind = picture_kind(path)
    if kind is None or kind == "apng":
        try:
            return VideoFrameSource(VideoReader(path))
        except InputError as error:
            if path.suffix.lower() not in _SUFFIXES:
                raise
            raise InputError(f"picture {path.name} cannot be read; give a whole .png or .jpg") from error
    if kind == "animated webp":
        return _animation(path)
    return TensorFrameSource(torch.from_numpy(read_picture(path))[None], STILL_RATE)


def picture_kind(path: str | Path) -> str | None:
    """What sort of picture a file holds by its first bytes; None where it holds none, or a GIF, which is a film."""
    with Path(path).open("rb") as file:
        start = file.read(_HEADER)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        head, moving, _ = start.partition(b"acTL")
        return "apng" if moving and b"IDAT" not in head else "png"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "animated webp" if start[12:16] == b"VP8X" and start[20] & 2 else "webp"
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"heim", b"heis", b"avif"):
        return "heif"
    signs = {b"\xff\xd8\xff": "jpeg", b"BM": "bmp", b"II*\0": "tiff", b"MM\0*": "tiff"}
    return next((kind for sign, kind in signs.items() if start.startswith(sign)), None)


def read_picture(path: str | Path, what: str = "picture") -> NDArray[np.uint8]:
    """RGB [H,W,3] of a .png, .jpg or the like: upright as viewers show it, on white where it is transparent.

    Raises InputError that calls it `what`: no picture, a kind that is not read, one too large.
    """
    # OpenCV sets an environment variable when imported.
    import cv2

    path = regular_file(path, what)
    kind = picture_kind(path)
    if kind == "heif":
        raise InputError(f"{what} {path.name} is a photo of a kind that is not read (HEIC, AVIF): save it as .jpg")
    coded = np.fromfile(path, np.uint8)
    check_size(f"{what} {path.name}", *picture_size(coded.tobytes()) or (0, 0))
    try:
        with _silent_opencv():
            picture = cv2.imdecode(coded, cv2.IMREAD_COLOR) if len(coded) else None
            whole = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED) if kind in _MAY_BE_TRANSPARENT else None
    except cv2.error as error:
        raise InputError(f"{what} {path.name} is damaged or larger than {LARGEST:,} pixels: give another") from error
    if picture is None:
        raise InputError(f"{what} {path.name} cannot be read; give a whole .png or .jpg")
    if whole is not None and whole.ndim == 3 and whole.shape[2] == 4 and whole.shape[:2] == picture.shape[:2]:
        picture = _on_white(picture, whole[..., 3:] / np.float32(np.iinfo(whole.dtype).max))
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


@contextmanager
def _silent_opencv() -> Iterator[None]:
    """OpenCV prints what it thinks of a damaged picture; whoever reads it gets an error instead."""
    from cv2.utils import logging as told

    level = told.getLogLevel()
    told.setLogLevel(told.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        told.setLogLevel(level)


def _animation(path: Path) -> TensorFrameSource:
    import cv2

    coded = np.fromfile(path, np.uint8)
    width, height = picture_size(coded.tobytes()) or (0, 0)
    count = coded.tobytes().count(b"ANMF")
    if width * height * count > _MOST:
        raise InputError(f"{path.name}: {count} pictures of {width} x {height} are held at once; save it as .mp4")
    read = getattr(cv2, "imdecodeanimation", None)  # from OpenCV 4.11 on
    try:
        with _silent_opencv():
            good, animation = read(coded) if read else (False, None)
    except cv2.error:
        good, animation = False, None
    if not good or not animation.frames:
        raise InputError(f"{path.name} is an animated WebP that cannot be read here; save it as .gif or .mp4")
    times = [Fraction(0), *(Fraction(ms, 1000) for ms in accumulate(animation.durations))]
    rate = fitting_rate(times[:-1], None, path.name)
    ends = [frames_before(time, rate) for time in times]
    spans = zip(animation.frames, ends, ends[1:], strict=False)
    frames = [_shown(picture) for picture, first, stop in spans for _ in range(first, stop)]
    return TensorFrameSource(torch.from_numpy(np.stack(frames or [_shown(animation.frames[0])])), rate)


def _shown(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV's BGR or BGRA [H,W,3|4] -> RGB."""
    if picture.shape[2] == 4:
        picture = _on_white(picture[..., :3], picture[..., 3:] / np.float32(255))
    return np.ascontiguousarray(picture[..., ::-1])


def _on_white(picture: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(_WHITE + (picture.astype(np.float32) - _WHITE) * alpha).astype(np.uint8)
