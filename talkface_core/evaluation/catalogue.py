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
    groups = dict.fromkeys(entry.group for entry in METRICS.values())
    choice = f"choose some of {', '.join(METRICS)}, or of the groups {', '.join(groups)}"
    if not keys:
        raise InputError(f"no metric is named; {choice}")
    for key in keys:
        if key not in METRICS and key not in groups:
            raise InputError(f"metric {key!r} is unknown; {choice}")
    return {name: entry for name, entry in METRICS.items() if name in keys or entry.group in keys}
