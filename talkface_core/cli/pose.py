"""`--pose`: one pose for the whole video, or a file of keyframes; degrees of yaw, pitch, roll."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..plain_json import parse_json

if TYPE_CHECKING:
    from ..faces.head_pose import HeadPose, Key

_SHAPES = "lines of `seconds: yaw, pitch, roll` (.csv, .txt), the same as JSON, or an array [frames, 3] (.npy)"


def read_pose(text: str, rows_per_second: Fraction) -> HeadPose:
    """The pose that `text` says: "yaw,pitch,roll", or the name of a file of keyframes.

    A .npy has one row for each frame at `rows_per_second`. Raises InputError for anything else, angles outside
    -90..90 degrees, NaN.
    """
    from ..faces.head_pose import HeadPose, numbers_in

    numbers = numbers_in(text)
    if numbers is not None and not Path(text).is_file():
        if len(numbers) != 3:
            raise InputError(f"pose {text!r} has {len(numbers)} numbers; give three, yaw,pitch,roll, such as 15,0,0")
        return HeadPose.constant(*numbers)
    path = Path(text)
    if not path.is_file():
        raise InputError(f"pose {text!r} is neither yaw,pitch,roll in degrees, such as 15,0,0, nor a file")
    if path.suffix.lower() == ".npy":
        return HeadPose.from_keys(_array_keys(path, rows_per_second), f"pose file {path}")
    try:
        lines = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"pose file {path} is no text; give {_SHAPES}") from error
    if path.suffix.lower() == ".json":
        return HeadPose.from_keys(_json_keys(path, lines), f"pose file {path}")
    return HeadPose.from_text(lines, f"pose file {path}")


def _array_keys(path: Path, rows_per_second: Fraction) -> list[Key]:
    from ..arrays import read_npy

    rows = read_npy(path)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows) or rows.dtype.kind not in "fiu":
        raise InputError(f"pose file {path} holds {rows.dtype} {list(rows.shape)}; give numbers [frames, 3]")
    return [((k + 0.5) / float(rows_per_second), *row) for k, row in enumerate(rows.astype(float).tolist())]


def _json_keys(path: Path, text: str) -> list[Key]:
    """{"0.5": [yaw, pitch, roll], ...}, [[seconds, yaw, pitch, roll], ...] or [{"seconds": 0.5, "yaw": 0, ...}]."""
    from ..faces.head_pose import ANGLES

    try:
        value = parse_json(text)
        if isinstance(value, Mapping):
            return [_key([seconds, *angles]) for seconds, angles in value.items()]
        return [_key([k["seconds"], *(k[a] for a in ANGLES)] if isinstance(k, Mapping) else k) for k in value]
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        told = f"({type(error).__name__}: {str(error)[:200]})"
        raise InputError(f'pose file {path} does not read as {{"seconds": [yaw, pitch, roll]}} {told}') from error


def _key(values: Iterable[Any]) -> Key:
    seconds, yaw, pitch, roll = map(float, values)
    return seconds, yaw, pitch, roll
