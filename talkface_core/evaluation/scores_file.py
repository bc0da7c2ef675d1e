"""A clip's scores as a file: what one machine measured, and another puts into a table of many clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import read_npz
from ..atomic import whole_file
from ..errors import InputError
from ..plain_json import parse_object
from .evaluate import ClipScores, Moment

_PLAIN = ("name", "frames", "left_out", "open_from", "strip_at")
_NUMBERS = ("values", "real")
_ARRAYS = ("openings", "envelope", "pauses", "closures", "strip")


def write_scores(path: Path, clip: ClipScores) -> None:
    """Write `path`, a .npz, whole."""
    arrays: dict[str, Any] = {name: value for name in _ARRAYS if (value := getattr(clip, name)) is not None}
    arrays |= {f"curve {key}": curve for key, curve in clip.curves.items()}
    arrays |= {f"feature {k} {key}": side for key, pair in clip.features.items() for k, side in enumerate(pair)}
    arrays |= {f"{name} {key}": np.float64(v) for name in _NUMBERS for key, v in getattr(clip, name).items()}
    for k, moment in enumerate(clip.moments):
        arrays |= {f"moment {k} generated": moment.generated, f"moment {k} real": moment.real}
        arrays |= {f"moment {k} numbers": np.array([moment.frame, moment.value, moment.badness], np.float64)}
    about = {name: getattr(clip, name) for name in _PLAIN} | {"moments": [moment.metric for moment in clip.moments]}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with whole_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_scores(path: Path) -> ClipScores:
    """What `write_scores` wrote. Raises InputError for another file."""
    arrays = read_npz(path)
    try:
        about = parse_object(arrays["about"].tobytes())
        moments = [
            Moment(about["name"], int(frame), metric, value, badness, *(arrays[f"moment {k} {s}"] for s in _SIDES))
            for k, metric in enumerate(about["moments"])
            for frame, value, badness in [arrays[f"moment {k} numbers"].tolist()]
        ]
        named: dict[str, Any] = {name: about[name] for name in _PLAIN}
        named |= {name: arrays.get(name) for name in _ARRAYS}
        named |= {name: {k: float(v) for k, v in _below(arrays, name).items()} for name in _NUMBERS}
        sides = [_below(arrays, f"feature {k}") for k in range(2)]
        named |= {"curves": _below(arrays, "curve"), "features": {k: (v, sides[1][k]) for k, v in sides[0].items()}}
        named |= {"moments": tuple(moments), "strip_at": tuple(about["strip_at"])}
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} holds no scores of a clip ({str(error)[:100]}); measure the clip again") from error
    return ClipScores(**named)


_SIDES = ("generated", "real")


def _below(arrays: dict[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{name} "): value for key, value in arrays.items() if key.startswith(f"{name} ")}
