"""All metrics there are. A metric that is registered in a module that is named here is computed, printed and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InputError
from . import of_mouths, of_pictures, of_sync, of_time
from .i3d import FILE as I3D_FILE
from .inception import FILE as INCEPTION_FILE
from .registry import Metric, registered

MODULES = (of_pictures, of_mouths, of_sync, of_time)

METRICS: dict[str, Metric] = registered()
"""By their keys, group by group."""


@dataclass(frozen=True)
class SetMetric:
    """A Frechet distance of two whole sets of clips.

    title; instrument: the field of `Kit` whose vectors it compares; missing: why it is left out without; group;
    protocol: what the number means.
    """

    title: str
    instrument: str
    missing: str
    protocol: str
    group: str = "picture"


SETS = {
    "fid": SetMetric(
        "FID, face",
        "frame_features",
        f"the InceptionV3 of FID is not here: give --weights {INCEPTION_FILE}",
        "Frechet distance of the pooled features (2048) of the InceptionV3 of 2015-12-05, as torch-fidelity computes "
        "them, of all aligned faces, each clip's by its own track, at 256 px; far fewer than 2048 frames make it "
        "large, and FIDs of whole pictures are other numbers.",
    ),
    "fvd": SetMetric(
        "FVD, face",
        "video_features",
        f"the I3D of FVD is not here: give --weights {I3D_FILE}",
        "Frechet distance of the Kinetics-400 logits of I3D (pytorch-i3d's rgb_imagenet.pt) of stretches of 16 aligned "
        "frames, one after the other, at 224 px, -1..1; few stretches make it large. FVDs by other ports of I3D, "
        "StyleGAN-V's TorchScript file among them, are not comparable.",
    ),
}
"""Those of whole sets, by their keys."""


def chosen(keys: Sequence[str] | None) -> dict[str, Metric]:
    """The metrics of these keys or groups, all for None; those of whole sets are `chosen_sets`. Raises InputError for a
    word that names none."""
    if keys is None:
        return METRICS
    groups = dict.fromkeys(entry.group for entry in METRICS.values())
    choice = f"choose some of {', '.join([*METRICS, *SETS])}, or of the groups {', '.join(groups)}"
    if not keys:
        raise InputError(f"no metric is named; {choice}")
    for key in keys:
        if key not in METRICS and key not in SETS and key not in groups:
            raise InputError(f"metric {key!r} is unknown; {choice}")
    return {name: entry for name, entry in METRICS.items() if name in keys or entry.group in keys}


def chosen_sets(keys: Sequence[str] | None) -> tuple[str, ...]:
    """The metrics of whole sets among these keys or groups, all for None."""
    return tuple(name for name, entry in SETS.items() if keys is None or name in keys or entry.group in keys)
