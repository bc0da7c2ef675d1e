"""All metrics there are. A metric that is registered in a module that is named here is computed, printed and drawn."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from . import of_mouths, of_pictures, of_sync, of_time
from .registry import Metric, registered

MODULES = (of_pictures, of_mouths, of_sync, of_time)

METRICS: dict[str, Metric] = registered()
"""By their keys, group by group."""


def chosen(keys: Sequence[str] | None) -> dict[str, Metric]:
    """The metrics of these keys or groups, all for None. Raises InputError for a word that names none."""
    if keys is None:
        return METRICS
    for key in keys:
        if not any(key in (name, entry.group) for name, entry in METRICS.items()):
            raise InputError(f"metric {key!r} is unknown; choose some of {', '.join(METRICS)}")
    return {name: entry for name, entry in METRICS.items() if name in keys or entry.group in keys}
