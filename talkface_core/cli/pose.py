"""`--pose`: one pose for the whole video, or a file of keyframes; degrees of yaw, pitch, roll."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 90.0
ANGLES = ("yaw", "pitch", "roll")
Key = tuple[float, float, float, float]  # seconds, yaw, pitch, roll

_SHAPES = "lines of `seconds: yaw, pitch, roll` (.csv, .txt), the same as JSON, or an array [frames, 3] (.npy)"


def read_pose(text: str, frames: int, fps: Fraction, rows_per_second: Fraction) -> Tensor:
    """The pose of every frame [frames, 3] in degrees, or [3] where it never changes.

    `text` is "yaw,pitch,roll" or the name of a file: keyframes, or a .npy with one row for each frame at
    `rows_per_second`. Between keys the pose is interpolated linearly, at the frames' centres; before the first and
    after the last it is held. Raises InputError for anything else, angles outside -90..90 degrees, NaN.
    """
    import numpy as np
    import torch

    numbers = _numbers(text)
    if numbers is not None and not Path(text).is_file():
        if len(numbers) != 3:
            raise InputError(f"pose {text!r} has {len(numbers)} numbers; give three, yaw,pitch,roll, such as 15,0,0")
        return torch.tensor(_checked("pose", [(0.0, *numbers)])[0][1:])
    keys = _checked(text, _file_keys(Path(text), rows_per_second))
    times, poses = np.array([key[0] for key in keys]), np.array([key[1:] for key in keys])
    centres = (np.arange(frames) + 0.5) / float(fps)
    track = np.stack([np.interp(centres, times, poses[:, axis]) for axis in range(3)], axis=1)
    return torch.from_numpy(track).float()


def _file_keys(path: Path, rows_per_second: Fraction) -> list[Key]:
    if not path.is_file():
        raise InputError(f"pose {str(path)!r} is neither yaw,pitch,roll in degrees, such as 15,0,0, nor a file")
    if path.suffix.lower() == ".npy":
        return _array_keys(path, rows_per_second)
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"pose file {path} is no text; give {_SHAPES}") from error
    return _json_keys(path, text) if path.suffix.lower() == ".json" else _line_keys(path, text)


def _array_keys(path: Path, rows_per_second: Fraction) -> list[Key]:
    import numpy as np

    try:
        rows = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"pose file {path} cannot be read as .npy; write it with numpy.save") from error
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows) or rows.dtype.kind not in "fiu":
        raise InputError(f"pose file {path} holds {rows.dtype} {list(rows.shape)}; give numbers [frames, 3]")
    return [((k + 0.5) / float(rows_per_second), *map(float, row)) for k, row in enumerate(rows)]


def _json_keys(path: Path, text: str) -> list[Key]:
    """{"0.5": [yaw, pitch, roll], ...}, [[seconds, yaw, pitch, roll], ...] or [{"seconds": 0.5, "yaw": 0, ...}]."""
    try:
        value = json.loads(text)
        if isinstance(value, Mapping):
            return [_key([seconds, *angles]) for seconds, angles in value.items()]
        return [_key([k["seconds"], *(k[a] for a in ANGLES)] if isinstance(k, Mapping) else k) for k in value]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f'pose file {path} does not read as {{"seconds": [yaw, pitch, roll]}} ({error!r})') from error


def _line_keys(path: Path, text: str) -> list[Key]:
    keys: list[Key] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].strip()
        # A table may name its columns.
        if not words or (not keys and re.fullmatch(r"[A-Za-z_\s,;\"]+", words) and "nan" not in words.lower()):
            continue
        numbers = _numbers(words)
        if numbers is None or len(numbers) != 4:
            raise InputError(f"pose file {path}, line {number}: {line.strip()!r} is not `seconds: yaw, pitch, roll`")
        keys.append(_key(numbers))
    return keys


def _numbers(text: str) -> list[float] | None:
    try:
        return [float(word) for word in re.split(r"[\s,;:]+", text.strip())]
    except ValueError:
        return None


def _key(values: Iterable[Any]) -> Key:
    seconds, yaw, pitch, roll = map(float, values)
    return seconds, yaw, pitch, roll


def _checked(name: str, keys: list[Key]) -> list[Key]:
    """The keys in order of time, once all are numbers within the limits."""
    if not keys:
        raise InputError(f"pose file {name} holds no keyframe; give {_SHAPES}")
    for seconds, *angles in keys:
        where = f"{name} at {seconds:g} s" if len(keys) > 1 else name
        if not (math.isfinite(seconds) and all(map(math.isfinite, angles))):
            raise InputError(f"{where}: {tuple(angles)} holds NaN or infinity; give yaw, pitch, roll in degrees")
        if max(map(abs, angles)) > LIMIT:
            raise InputError(f"{where}: {tuple(angles)} goes beyond {LIMIT:g} degrees; a head turns within -90..90")
    keys = sorted(keys, key=lambda key: key[0])
    for before, after in pairwise(keys):
        if before[0] == after[0]:
            raise InputError(f"{name}: two poses at {after[0]:g} s; give one for each moment")
    return keys
