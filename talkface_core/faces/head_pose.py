"""A head pose over time, as a user gives it and as a face in a video has it.

Yaw, pitch, roll in degrees: + yaw turns the face to the right of the picture, + pitch nods down, + roll turns
counter-clockwise. A pose is a handful of keys or a row for each frame; both are read at any moment, so that it fits any
length of sound and any frame rate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate, as_rate

LIMIT = 90.0
ANGLES = ("yaw", "pitch", "roll")
Key = tuple[float, float, float, float]
"""Seconds, yaw, pitch, roll."""


@dataclass(frozen=True)
class HeadPose:
    """Poses at moments: `seconds` float64 [K], rising; `degrees` float32 [K, 3] of yaw, pitch, roll.

    Between two moments the pose is linear; before the first and after the last it is held.
    """

    seconds: Tensor
    degrees: Tensor

    @classmethod
    def constant(cls, yaw: float, pitch: float, roll: float) -> HeadPose:
        """One pose for all time. Raises InputError for NaN or angles outside -90..90 degrees."""
        return cls.from_keys([(0.0, yaw, pitch, roll)], "pose")

    @classmethod
    def from_frames(cls, degrees: Tensor, fps: Rate, first: int = 0) -> HeadPose:
        """A row [T, 3] for each frame, the first being frame `first`, at the frames' centres."""
        rate = as_rate(fps)
        centres = (torch.arange(first, first + len(degrees), dtype=torch.float64) + 0.5) / float(rate)
        return cls(centres, degrees.detach().to("cpu", torch.float32))

    @classmethod
    def from_keys(cls, keys: Iterable[Key], name: str = "head pose") -> HeadPose:
        """Keys in any order. Raises InputError for none, NaN, angles outside -90..90 degrees, a moment given twice."""
        rows = _checked(name, list(keys))
        return cls(rows[:, 0].clone(), rows[:, 1:].float())

    @classmethod
    def from_text(cls, text: str, name: str = "head pose") -> HeadPose:
        """Lines of `seconds: yaw, pitch, roll`; `#` begins a comment and a first line may name the columns.

        Raises InputError that names the line.
        """
        keys: list[Key] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].strip()
            heading = not keys and re.fullmatch(r"[A-Za-z_\s,;:\"]+", words) and "nan" not in words.lower()
            if not words or heading:
                continue
            numbers = numbers_in(words)
            if numbers is None or len(numbers) != 4:
                raise InputError(f"{name}, line {number}: {line.strip()!r} is not `seconds: yaw, pitch, roll`")
            keys.append((numbers[0], numbers[1], numbers[2], numbers[3]))
        return cls.from_keys(keys, name)

    def at(self, frames: int, fps: Rate) -> Tensor:
        """The pose of each frame at its centre, float32 [frames, 3]."""
        centres = (np.arange(frames) + 0.5) / float(as_rate(fps))
        times, rows = self.seconds.numpy(), self.degrees.double().numpy()
        columns = [np.interp(centres, times, rows[:, axis]) for axis in range(3)]
        return torch.from_numpy(np.stack(columns, axis=1)).float()


def numbers_in(text: str) -> list[float] | None:
    """The numbers of a line, apart by blanks and , : ; of any width; None where anything else stands there."""
    try:
        return [float(word) for word in re.split(r"[\s,;:，；：、]+", text.strip())]
    except ValueError:
        return None


def _checked(name: str, keys: list[Key]) -> Tensor:
    """The keys in order of time, float64 [K, 4], once all are numbers within the limits."""
    if not keys:
        raise InputError(f"{name} holds no keyframe; give lines of `seconds: yaw, pitch, roll`")
    rows = np.array(keys, dtype=np.float64).reshape(len(keys), 1 + len(ANGLES))
    finite: NDArray[np.bool_] = np.isfinite(rows).all(axis=1)
    good: NDArray[np.bool_] = finite & (np.abs(rows[:, 1:]) <= LIMIT).all(1)
    if not good.all():
        first = int(np.argmin(good))
        angles = tuple(rows[first, 1:].tolist())
        where = f"{name} at {rows[first, 0]:g} s" if len(keys) > 1 else name
        if not finite[first]:
            raise InputError(f"{where}: {angles} holds NaN or infinity; give yaw, pitch, roll in degrees")
        raise InputError(f"{where}: {angles} goes beyond {LIMIT:g} degrees; a head turns within -90..90")
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    twice = np.flatnonzero(rows[1:, 0] == rows[:-1, 0])
    if len(twice):
        raise InputError(f"{name}: two poses at {rows[twice[0], 0]:g} s; give one for each moment")
    return torch.from_numpy(rows)
